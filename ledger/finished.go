package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Finished are uploads that came to a final state, by the time of it; those of one order in the
// order in which they ended.
type Finished struct {
	Uploads []Upload // as they ended, without their attempts
	Until   Time     // read on from here; it is where reading began when nothing has ended since
}

// Finished reads what came to a final state after a time, oldest first, without its attempts: of an
// account, or of all when it is "". It gives about limit (0: 100) uploads: a page ends with a
// millisecond, so that a time alone says how far it reaches, and what ended before that time is
// complete.
//
// An upload that was sent again, or discarded, stands at each of its ends, as it ended then; for 8
// days, and for as long as the upload is kept. An expired one that a late answer delivers stands at
// its delivery alone, unless its expiry was read before. After Redis's clock was set back, the last
// minute is given again.
func (l *Ledger) Finished(ctx context.Context, account string, after Time, limit int) (Finished, error) {
	limit = cmp.Or(limit, 100)
	accounts := []string{account}
	if account == "" {
		var err error
		if accounts, err = l.Accounts(ctx); err != nil {
			return Finished{}, err
		}
	}
	var ends []end
	complete := int64(-1)
	for _, a := range accounts {
		found, until, err := l.endsOf(ctx, a, after, limit)
		if err != nil {
			return Finished{}, err
		}
		if ends = append(ends, found...); complete < 0 || until < complete {
			complete = until
		}
	}
	slices.SortFunc(ends, func(a, b end) int { return compareEntries(a.entry, b.entry) })
	page := Finished{Until: after}
	for i := range ends { // up to the end of the millisecond that has the last of the page
		if ends[i].score > complete || i >= limit && ends[i].score > ends[i-1].score {
			ends = ends[:i]
			break
		}
	}
	if len(ends) == 0 {
		return page, nil
	}
	page.Until = at(ends[len(ends)-1].score)
	var err error
	if page.Uploads, err = l.loadEnds(ctx, ends); err != nil {
		return Finished{}, err
	}
	slices.SortStableFunc(page.Uploads, func(a, b Upload) int {
		return cmp.Or(a.EndedAt.Compare(b.EndedAt.Time), a.Since.Compare(b.Since.Time))
	})
	return page, nil
}

// end is one end of an upload; its score is when.
type end struct {
	entry

	state State // to which it came
}

// endsOf gives an account's ends, and until when they are complete.
func (l *Ledger) endsOf(ctx context.Context, account string, after Time, limit int) ([]end, int64, error) {
	r, err := l.run(ctx, l.scripts.finished, account, "", unix(after), limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read what ended in account %s: %w", account, err)
	}
	var ends []end
	for i := 1; i+2 < len(r); i += 3 {
		key, _, _ := strings.Cut(r.text(i+2), " ")
		ends = append(ends, end{entry{r.num(i), key, account}, State(r.text(i + 1))})
	}
	return ends, r.num(0), nil
}

// loadEnds reads the uploads of ends as they ended. Attempts are read only of those that went on
// since: they tell how it stood then.
func (l *Ledger) loadEnds(ctx context.Context, ends []end) ([]Upload, error) {
	entries := make([]entry, len(ends))
	for i, e := range ends {
		entries[i] = e.entry
	}
	now, err := l.loadByID(ctx, entries, false)
	if err != nil {
		return nil, err
	}
	var undone []entry
	for _, e := range ends {
		if u, kept := now[e.id()]; kept && !e.stands(u) {
			undone = append(undone, e.entry)
		}
	}
	then, err := l.loadByID(ctx, undone, true)
	if err != nil {
		return nil, err
	}
	var out []Upload
	for _, e := range ends {
		if u, kept := now[e.id()]; kept && e.stands(u) {
			out = append(out, u)
		} else if u, kept := then[e.id()]; kept {
			out = append(out, u.asItEnded(e))
		}
	}
	return out, nil
}

// stands says whether the upload came to this end and nothing happened since.
func (e end) stands(u Upload) bool { return u.State == e.state && u.EndedAt.UnixMilli() == e.score }

// asItEnded gives the upload as it was at a former end. Its budget and generation are the present
// ones: what they were then is not kept.
func (u Upload) asItEnded(e end) Upload {
	u.State, u.EndedAt = e.state, at(e.score)
	u.UpdatedAt, u.NextAttempt, u.ExpiresAt, u.DeliveredAt = u.EndedAt, Time{}, Time{}, Time{}
	if u.State == Delivered {
		u.DeliveredAt = u.EndedAt
	}
	u.Since = u.CreatedAt // the present place in its order queue is a later one
	u.shows(Attempt{})
	for _, a := range u.Attempts {
		if a.Outcome != "" && !a.EndedAt.After(u.EndedAt.Time) {
			u.shows(a)
			u.AttemptCount = a.Number
		}
	}
	u.Attempts, u.Actions = nil, nil
	return u
}

// Now reads the clock of the Redis that keeps an account's times.
func (l *Ledger) Now(ctx context.Context, account string) (Time, error) {
	rdb, err := l.node(ctx, account)
	if err != nil {
		return Time{}, err
	}
	clock, err := rdb.Time(ctx).Result()
	if err != nil {
		l.lookAnew(ctx, err)
		return Time{}, fmt.Errorf("read the time: %w", err)
	}
	return Time{clock.UTC().Truncate(time.Millisecond)}, nil
}
