package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrCursor means that a page's cursor is not one that List gave.
var ErrCursor = errors.New("the cursor is not one of a page of this list")

// Query says which uploads to list. The zero value lists all.
type Query struct {
	Account     string        // "": every account
	State       State         // "": every state
	OrderID     string        // "": every order
	Search      string        // only what Search finds for this; "": all
	Code        string        // of the last answer; "": every code
	Since       time.Duration // only what was created, or has ended, within this time; 0: any time
	Cursor      string        // of the page before; "": the first page
	Limit       int           // most uploads of the page; 0: 100
	OldestFirst bool          // what ends meanwhile then comes later, and nothing is missed
	Full        bool          // with attempts and actions
}

// Page is a part of a list. Cursor is "" on the last one, and on no other, however few uploads a page
// has.
type Page struct {
	Uploads []Upload
	Cursor  string
}

// List lists uploads, without their attempts and actions unless the query says Full, newest first: unfinished ones by their creation,
// finished ones by their end. It reads no more than the page needs. A page ends before it has as many
// as it may when 20,000 were looked at, as for a code that few have. An upload that ends while it is
// listed, newest first, may be missed.
func (l *Ledger) List(ctx context.Context, q Query) (Page, error) {
	q.Limit = cmp.Or(q.Limit, 100)
	from, err := l.start(ctx, q)
	if err != nil {
		return Page{}, err
	}
	sources, err := l.sources(ctx, q, from)
	if err != nil {
		return Page{}, err
	}
	var page Page
	for looked := 0; len(page.Uploads) < q.Limit && looked < lookAtMost; {
		var next []entry
		if next, err = sources.take(ctx, q.atOnce(q.Limit-len(page.Uploads))); err != nil {
			return Page{}, err
		}
		if len(next) == 0 {
			page.Cursor = ""
			return page, nil
		}
		var full bool
		if full, err = l.fillPage(ctx, q, next, &page); err != nil {
			return Page{}, err
		}
		if full {
			return page, nil
		}
		looked += len(next)
	}
	more, err := sources.take(ctx, 1)
	if err != nil {
		return Page{}, err
	}
	if len(more) == 0 {
		page.Cursor = ""
	}
	return page, nil
}

// lookAtMost bounds what one page reads, and so how long it takes.
const lookAtMost = 20_000

// atOnce is how many entries are read for n uploads: of a code, few may be.
func (q Query) atOnce(n int) int {
	if q.Code != "" {
		return readAtOnce
	}
	return min(n, readAtOnce)
}

// fillPage puts those of the entries that match onto a page. It says whether the page is full and
// some of them are left.
func (l *Ledger) fillPage(ctx context.Context, q Query, entries []entry, page *Page) (full bool, err error) {
	byID, err := l.loadByID(ctx, entries, q.Full)
	if err != nil {
		return false, err
	}
	for i, e := range entries {
		page.Cursor = fmt.Sprintf("%d.%s.%s", e.score, e.key, e.account)
		if u, ok := byID[e.id()]; ok && q.matches(u) {
			page.Uploads = append(page.Uploads, u)
		}
		if len(page.Uploads) == q.Limit && i < len(entries)-1 {
			return true, nil
		}
	}
	return false, nil
}

// matches says whether an upload that an index named is still what the query asks for.
func (q Query) matches(u Upload) bool {
	return (q.State == "" || u.State == q.State) && (q.OrderID == "" || u.OrderID == q.OrderID) && (q.Code == "" || u.Code == q.Code)
}

func (l *Ledger) start(ctx context.Context, q Query) (place, error) {
	p := place{oldest: q.OldestFirst, before: compareEntries}
	if !q.OldestFirst {
		p.before = func(a, b entry) int { return compareEntries(b, a) }
	}
	if q.Cursor != "" {
		ms, key, account, ok := splitCursor(q.Cursor)
		if !ok {
			return place{}, ErrCursor
		}
		p.entry, p.set = entry{ms, key, account}, true
	}
	if q.Since > 0 {
		now, err := l.rdb.Time(ctx).Result()
		if err != nil {
			return place{}, fmt.Errorf("read the time: %w", err)
		}
		p.since = now.Add(-q.Since).UnixMilli()
	}
	return p, nil
}

// accountsOf gives the accounts that a query is about.
func (l *Ledger) accountsOf(ctx context.Context, q Query) ([]string, error) {
	if q.Account != "" {
		return []string{q.Account}, nil
	}
	return l.Accounts(ctx)
}

// sources gives one reader for each index that the query touches.
func (l *Ledger) sources(ctx context.Context, q Query, from place) (merge, error) {
	accounts, err := l.accountsOf(ctx, q)
	if err != nil {
		return merge{}, err
	}
	states := States()
	if q.State != "" {
		states = []State{q.State}
	}
	all := merge{rdb: l.rdb, before: from.before}
	for _, account := range accounts {
		if q.OrderID != "" || q.Search != "" {
			s, err := l.namedSource(ctx, account, q, from)
			if err != nil {
				return merge{}, err
			}
			all.sources = append(all.sources, s)
			continue
		}
		for _, index := range indexes(states) {
			all.sources = append(all.sources, &source{
				index: prefix(account) + index, account: account, from: from, chunk: int64(q.atOnce(q.Limit)) + 1,
			})
		}
	}
	return all, nil
}

// indexes gives the names of the indexes that hold the uploads of these states.
func indexes(states []State) []string {
	var names []string
	for _, s := range states {
		names = append(names, "s:"+string(s))
		if s == Queued {
			names = append(names, "s:behind")
		}
	}
	return names
}

// namedSource reads all uploads of an order, or of a search, at once: they are few.
func (l *Ledger) namedSource(ctx context.Context, account string, q Query, from place) (*source, error) {
	var keys []string
	var err error
	if q.Search != "" {
		keys, err = l.searchKeys(ctx, account, q.Search)
	} else if keys, err = l.rdb.ZRange(ctx, prefix(account)+"o:"+q.OrderID, 0, -1).Result(); err != nil {
		err = fmt.Errorf("list order %q: %w", clip(q.OrderID, 80), err)
	}
	if err != nil {
		return nil, err
	}
	us, err := l.load(ctx, account, keys, -1)
	if err != nil {
		return nil, err
	}
	s := &source{account: account, from: from, done: true}
	for _, u := range us {
		e := entry{latest(u.CreatedAt, u.EndedAt).UnixMilli(), u.ID[len(account)+1:], account}
		if e.score >= from.since && (!from.set || from.before(e, from.entry) > 0) {
			s.buffer = append(s.buffer, e)
		}
	}
	slices.SortFunc(s.buffer, from.before)
	return s, nil
}

// loadEntries reads the uploads of entries in their order; those that are gone are left out.
func (l *Ledger) loadEntries(ctx context.Context, entries []entry, full bool) ([]Upload, error) {
	byID, err := l.loadByID(ctx, entries, full)
	if err != nil {
		return nil, err
	}
	var out []Upload
	for _, e := range entries {
		if u, ok := byID[e.id()]; ok {
			out = append(out, u)
		}
	}
	return out, nil
}

// loadByID reads the uploads of entries, with attempts and actions when full.
func (l *Ledger) loadByID(ctx context.Context, entries []entry, full bool) (map[string]Upload, error) {
	from := int64(-1)
	if full {
		from = -KeptAttempts
	}
	byAccount := map[string][]string{}
	for _, e := range entries {
		byAccount[e.account] = append(byAccount[e.account], e.key)
	}
	byID := map[string]Upload{}
	for account, keys := range byAccount {
		us, err := l.load(ctx, account, keys, from)
		if err != nil {
			return nil, err
		}
		for _, u := range us {
			if !full {
				u.Attempts, u.Actions = nil, nil
			}
			byID[u.ID] = u
		}
	}
	return byID, nil
}
