package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// How often the pages' live parts are asked for.
const (
	startEvery  = 5 * time.Second
	uploadEvery = 3 * time.Second
	listEvery   = 10 * time.Second
)

// startView is the start page, and the page of one account.
type startView struct {
	One      bool // it is the page of one account, the only one here
	Accounts []accountView
	Totals   map[ledger.State]int64
	Signs    []sign
	Learnt   []LearntRule
	Spans    []span
	Span     span // the one that the charts show
	Charts   []chart
	Strips   []strip
}

// accountView is an account's row, or its page.
type accountView struct{ tasks.AccountStatus }

// Skew is how far the API's clock is ahead of the workers', or behind if below 0.
func (a accountView) Skew() time.Duration { return time.Duration(a.ClockSkewMS) * time.Millisecond }

// SkewSize is Skew without its sign.
func (a accountView) SkewSize() time.Duration { return a.Skew().Abs() }

// Rate writes how many are delivered in a minute.
func (a accountView) Rate() string { return figure(a.DeliveredPerMinute) }

// Trouble says that the account's uploads wait for something.
func (a accountView) Trouble() bool { return a.Reason != "" || a.Paused || a.Unattended() }

// crewShown is how many workers the table names.
const crewShown = 2

// Crew gives the first workers that live.
func (a accountView) Crew() []ledger.WorkerInfo {
	live := slices.DeleteFunc(slices.Clone(a.Workers), func(w ledger.WorkerInfo) bool { return !w.Live })
	return live[:min(len(live), crewShown)]
}

// Fine says that uploads of all accounts are taken and delivered.
func (v startView) Fine() bool {
	return !slices.ContainsFunc(v.Accounts, accountView.Trouble) &&
		!slices.ContainsFunc(v.Signs, func(s sign) bool { return s.Kind == "alarm" })
}

// sign is a strip that says what is wrong, and leads there.
type sign struct {
	Kind  string // alarm or warn
	Text  string // the message about
	N     int64
	Since ledger.Time // zero: it is not told
	Link  string      // "": no page has more
}

func (p *Pages) start(w http.ResponseWriter, r *http.Request) error {
	pg := p.newPage(r, "start")
	view, err := p.overview(r.Context(), pg.words, spanOf(r), "")
	if err != nil {
		return err
	}
	if done := r.URL.Query().Get("done"); done == "pause" || done == "resume" {
		pg.Notice, pg.Here = pg.texts["act.done."+done], r.URL.Path
	}
	pg.Title, pg.BigQuery, pg.Live, pg.Body = pg.texts["start.title"], true, startEvery, view
	return p.render(w, r, http.StatusOK, "start.html", pg)
}

// account answers with the page of one account.
func (p *Pages) account(w http.ResponseWriter, r *http.Request) error {
	pg := p.newPage(r, "start")
	view, err := p.overview(r.Context(), pg.words, spanOf(r), r.PathValue("name"))
	if err != nil {
		return err
	}
	if len(view.Accounts) == 0 {
		return ledger.ErrNotFound
	}
	pg.Title, pg.Live, pg.Body = view.Accounts[0].Account, startEvery, view
	return p.render(w, r, http.StatusOK, "start.html", pg)
}

// overview looks at all accounts, or at the one of this name.
func (p *Pages) overview(ctx context.Context, w words, s span, one string) (startView, error) {
	accounts, err := p.cfg.Store.Accounts(ctx)
	if err != nil {
		return startView{}, err
	}
	if one != "" {
		accounts = slices.DeleteFunc(accounts, func(a tasks.AccountStatus) bool { return a.Account != one })
	}
	slices.SortFunc(accounts, tasks.CompareTrouble)
	lately, err := p.activities(ctx, accounts, s)
	if err != nil {
		return startView{}, err
	}
	learnt := slices.DeleteFunc(slices.Clone(p.cfg.Learnt()), func(r LearntRule) bool { return one != "" && r.Account != one })
	v := startView{One: one != "", Totals: map[ledger.State]int64{}, Learnt: learnt, Spans: spans(), Span: s}
	for _, a := range accounts {
		v.Accounts = append(v.Accounts, accountView{a})
		for state, n := range a.Uploads {
			v.Totals[state] += n
		}
	}
	v.Signs = slices.Concat(p.roomSigns(ctx, accounts), p.spoolSigns(), signs(accounts, v.Totals))
	v.Charts, v.Strips = charts(w, s, lately, accounts), strips(w, s, lately, accounts)
	return v, nil
}

// roomSigns say for how many accounts Redis has no room.
func (p *Pages) roomSigns(ctx context.Context, accounts []tasks.AccountStatus) []sign {
	s := sign{Kind: "alarm", Text: "start.no-room"}
	for _, a := range accounts {
		if errors.Is(p.cfg.Store.Room(ctx, a.Account), tasks.ErrNoRoom) {
			s.N++
		}
	}
	if s.N == 0 {
		return nil
	}
	return []sign{s}
}

// spoolSigns say what lies in the spool. Redis may be away.
func (p *Pages) spoolSigns() (all []sign) {
	s, err := p.cfg.Spooled()
	switch {
	case err != nil:
		all = append(all, sign{Kind: "alarm", Text: "start.spool-unreadable"})
	case s.Full && s.Vouchers > 0:
		all = append(all, sign{Kind: "alarm", Text: "start.spool-full", N: int64(s.Vouchers), Since: s.Oldest})
	case s.Vouchers > 0:
		all = append(all, sign{Kind: "warn", Text: "start.spooled", N: int64(s.Vouchers), Since: s.Oldest})
	}
	if s.Refused > 0 {
		all = append(all, sign{Kind: "alarm", Text: "start.spool-refused", N: int64(s.Refused)})
	}
	return all
}

// signs say what is wrong, the worst first. One account leads to its row, in which it is explained.
func signs(accounts []tasks.AccountStatus, totals map[ledger.State]int64) []sign {
	all := []sign{
		{Kind: "alarm", Text: "start.breakers-open"},
		{Kind: "alarm", Text: "start.unattended"},
		{Kind: "warn", Text: "start.held"},
		{Kind: "warn", Text: "start.paused"},
		{Kind: "warn", Text: "start.dead"},
	}
	for _, a := range accounts {
		for i, is := range []bool{a.Breaker != tasks.BreakerClosed && a.Pause == nil, a.Unattended(), a.Pause != nil, a.Paused} {
			if is && all[i].N == 0 {
				all[i].Link = "#account-" + a.Account
			}
			if is {
				all[i].N++
			}
		}
	}
	dead := &all[len(all)-1]
	dead.N, dead.Link = totals[ledger.Rejected]+totals[ledger.Expired], "/uploads?state=rejected"
	if totals[ledger.Rejected] == 0 {
		dead.Link = "/uploads?state=expired"
	}
	return slices.DeleteFunc(all, func(s sign) bool { return s.N == 0 })
}
