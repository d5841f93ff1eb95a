package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Finished are uploads that came to a final state, by the time of it; those of one order in the
// order in which they ended.
type Finished struct {
	Uploads []Upload // without their attempts
	Until   Time     // read on from here; it is where reading began when nothing has ended since
}

// Finished reads what came to a final state after a time, oldest first, without its attempts: of an
// account, or of all when it is "". It gives about limit (0: 100)
// uploads: a page ends with a millisecond, so
// that a time alone says how far it reaches, and what ended before that time is complete.
//
// An upload stands at its last end. One that was sent again before it was read is given once it ends
// again; a late answer can give one again that was given as expired. After Redis's clock was set
// back, the last minute is given again.
func (l *Ledger) Finished(ctx context.Context, account string, after Time, limit int) (Finished, error) {
	limit = cmp.Or(limit, 100)
	accounts := []string{account}
	if account == "" {
		var err error
		if accounts, err = l.Accounts(ctx); err != nil {
			return Finished{}, err
		}
	}
	var ends []entry
	complete := int64(-1)
	for _, a := range accounts {
		found, until, err := l.finishedOf(ctx, a, after, limit)
		if err != nil {
			return Finished{}, err
		}
		if ends = append(ends, found...); complete < 0 || until < complete {
			complete = until
		}
	}
	slices.SortFunc(ends, compareEntries)
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
	page.Until = Time{time.UnixMilli(ends[len(ends)-1].score).UTC()}
	us, err := l.loadEntries(ctx, ends, false)
	if err != nil {
		return Finished{}, err
	}
	for _, u := range us {
		// What was sent again meanwhile stands further on once it ends.
		if u.State.Final() && !u.EndedAt.After(page.Until.Time) {
			page.Uploads = append(page.Uploads, u)
		}
	}
	slices.SortStableFunc(page.Uploads, func(a, b Upload) int {
		return cmp.Or(a.EndedAt.Compare(b.EndedAt.Time), a.Since.Compare(b.Since.Time))
	})
	return page, nil
}

// finishedOf gives an account's entries, and until when they are complete.
func (l *Ledger) finishedOf(ctx context.Context, account string, after Time, limit int) ([]entry, int64, error) {
	r, err := l.run(ctx, l.scripts.finished, account, "", unix(after), limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read what ended in account %s: %w", account, err)
	}
	var ends []entry
	for i := 1; i+1 < len(r); i += 2 {
		ends = append(ends, entry{r.num(i), r.text(i + 1), account})
	}
	return ends, r.num(0), nil
}

// Now reads the clock of the Redis that keeps an account's times.
func (l *Ledger) Now(ctx context.Context) (Time, error) {
	clock, err := l.rdb.Time(ctx).Result()
	if err != nil {
		return Time{}, fmt.Errorf("read the time: %w", err)
	}
	return Time{clock.UTC().Truncate(time.Millisecond)}, nil
}
