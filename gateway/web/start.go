package web

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// How often the pages' live parts are asked for.
const (
	startEvery  = 5 * time.Second
	uploadEvery = 3 * time.Second
	listEvery   = 10 * time.Second
)

// startView is the start page.
type startView struct {
	Accounts     []accountView
	Totals       map[ledger.State]int64
	BreakersOpen int64 // accounts whose breaker is open, but by a person
	Held         int64 // accounts that a person paused
	Paused       int64 // accounts
	Unattended   int64 // accounts whose uploads wait while no worker lives
	Dead         int64 // uploads that wait for a person
	Learnt       []LearntRule
	Chart        *chart
}

// accountView is an account's card.
type accountView struct {
	tasks.AccountStatus

	Delivered24, Failed24 int64
	History               bool // the two are known
}

// Skew is how far the API's clock is ahead of the workers', or behind if below 0.
func (l accountView) Skew() time.Duration { return time.Duration(l.ClockSkewMS) * time.Millisecond }

// SkewSize is Skew without its sign.
func (l accountView) SkewSize() time.Duration { return l.Skew().Abs() }

func (p *Pages) start(w http.ResponseWriter, r *http.Request) error {
	view, err := p.overview(r.Context())
	if err != nil {
		return err
	}
	pg := p.newPage(r, "start")
	if done := r.URL.Query().Get("done"); done == "pause" || done == "resume" {
		pg.Notice, pg.Here = pg.texts["act.done."+done], r.URL.Path
	}
	pg.Title, pg.BigQuery, pg.Live, pg.Body = pg.texts["start.title"], true, startEvery, view
	return p.render(w, r, http.StatusOK, "start.html", pg)
}

func (p *Pages) overview(ctx context.Context) (startView, error) {
	accounts, err := p.cfg.Store.Accounts(ctx)
	if err != nil {
		return startView{}, err
	}
	ended, err := p.history(ctx, accounts)
	if err != nil {
		return startView{}, err
	}
	v := startView{Totals: map[ledger.State]int64{}, Learnt: p.cfg.Learnt()}
	for i, l := range accounts {
		card := accountView{AccountStatus: l}
		if ended != nil {
			card.History, card.Delivered24, card.Failed24 = true, sum(ended[i].delivered), sum(ended[i].failed)
		}
		v.Accounts = append(v.Accounts, card)
		for s, n := range l.Uploads {
			v.Totals[s] += n
		}
		v.BreakersOpen += one(l.Breaker != tasks.BreakerClosed && l.Pause == nil)
		v.Held += one(l.Pause != nil)
		v.Paused += one(l.Paused)
		v.Unattended += one(l.Unattended())
	}
	v.Dead = v.Totals[ledger.Rejected] + v.Totals[ledger.Expired]
	if ended != nil {
		v.Chart = newChart(ended)
	}
	return v, nil
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func sum(counts []int64) int64 {
	var all int64
	for _, n := range counts {
		all += n
	}
	return all
}

// The chart's bars, and how many questions are put to Redis at once for them.
const (
	chartStep  = time.Hour
	chartBars  = 24
	askAtATime = 8
)

// ended is what came to its end in each of the chart's steps, oldest first.
type ended struct{ delivered, failed []int64 }

// history gives what ended in each account; nil when nobody knows.
func (p *Pages) history(ctx context.Context, accounts []tasks.AccountStatus) ([]ended, error) {
	if p.cfg.History == nil {
		return nil, nil
	}
	all := make([]ended, len(accounts))
	expired := make([][]int64, len(accounts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtATime)
	for i, l := range accounts {
		for s, into := range map[ledger.State]*[]int64{
			ledger.Delivered: &all[i].delivered, ledger.Rejected: &all[i].failed, ledger.Expired: &expired[i],
		} {
			if l.Uploads[s] == 0 {
				*into = make([]int64, chartBars)
				continue
			}
			group.Go(func() (err error) {
				*into, err = p.cfg.History.Ended(ctx, l.Account, s, chartStep, chartBars)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range all {
		for j, n := range expired[i] {
			all[i].failed[j] += n
		}
	}
	return all, nil
}
