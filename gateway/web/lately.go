package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// span is how far back the charts look.
type span struct {
	Name  string // in the page's address
	Step  time.Duration
	Steps int
}

// Long is the length of the span.
func (s span) Long() time.Duration { return s.Step * time.Duration(s.Steps) }

// Half is the half of it.
func (s span) Half() time.Duration { return s.Long() / 2 }

// spans are those to choose from. A step must be one that ledger.Activity knows.
func spans() []span {
	return []span{{"1h", time.Minute, 60}, {"24h", 30 * time.Minute, 48}, {"7d", 2 * time.Hour, 84}}
}

// spanOf gives the span that a request asks for, a day if none.
func spanOf(r *http.Request) span {
	all := spans()
	i := slices.IndexFunc(all, func(s span) bool { return s.Name == r.URL.Query().Get("span") })
	if i < 0 {
		i = 1
	}
	return all[i]
}

// askAtATime is how many accounts are asked for at once.
const askAtATime = 8

// activities reads what happened in each account.
func (p *Pages) activities(ctx context.Context, accounts []tasks.AccountStatus, s span) ([]ledger.Activity, error) {
	all := make([]ledger.Activity, len(accounts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtATime)
	for i, a := range accounts {
		group.Go(func() (err error) {
			all[i], err = p.cfg.Store.Activity(ctx, a.Account, s.Step, s.Steps)
			return err
		})
	}
	return all, group.Wait()
}

// together adds up the steps of several accounts. A step's backlog counts as known when one account's is.
func together(all []ledger.Activity, n int) []ledger.Step {
	sum := make([]ledger.Step, n)
	for i := range sum {
		sum[i].Attempts = map[ledger.Outcome]int64{}
		for _, a := range all {
			s := a.Steps[i]
			for o, m := range s.Attempts {
				sum[i].Attempts[o] += m
			}
			sum[i].Calls.Add(s.Calls)
			sum[i].Watched = sum[i].Watched || s.Watched
			sum[i].Backlog += s.Backlog
		}
	}
	return sum
}
