package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/tasks"
)

func live(w http.ResponseWriter, _ *http.Request) error { return writeOK(w) }

func writeOK(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("ok\n"))
	return err // whoever asked has gone
}

// health is what readyz answers.
type health struct {
	Status  string   `json:"status"` // ok, or degraded: uploads are taken, and some are not delivered now
	Reasons []string `json:"reasons,omitempty"`
}

// readyz says whether uploads can be taken, and whether those that wait are being delivered. Why
// not, and whose, stands in the log and behind the login: anybody may ask.
func (g *Gateway) readyz(w http.ResponseWriter, _ *http.Request) error {
	select {
	case <-g.stopping:
		return &problem.Error{Kind: problem.Away, Detail: "the gateway is stopping"}
	default:
	}
	if err := g.ready.ask(g.askReady); err != nil {
		detail := "redis or the blob store is away"
		switch {
		case errors.Is(err, tasks.ErrNoRoom):
			detail = "redis has no room for more vouchers until the backlog drains"
		case errors.Is(err, tasks.ErrSpoolFull):
			detail = "redis or the blob store is away, and the spool is full"
		}
		return problem.StoreAway(detail, err)
	}
	answer := health{Status: "ok", Reasons: g.degraded.Load().reasons()}
	if len(answer.Reasons) > 0 {
		answer.Status = "degraded"
	}
	problem.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// askReady asks what stands in the way of taking uploads, and notes what stands in the way of
// delivering them.
func (g *Gateway) askReady(ctx context.Context) error {
	if g.cfg.Ready != nil {
		err := g.cfg.Ready(ctx)
		if err != nil && g.cfg.Tasks.Spools() {
			waiting, unreadable := g.cfg.Tasks.Spooled()
			g.degraded.Store(&degraded{spooling: true, spooled: waiting.Vouchers})
			if waiting.Full {
				return tasks.ErrSpoolFull
			}
			return unreadable
		}
		if err != nil {
			return err
		}
	}
	accounts, err := g.standing(ctx)
	d := degraded{unknown: err != nil}
	if d.full, err = g.full(ctx, accounts); err != nil {
		return err
	}
	for _, a := range accounts {
		switch {
		case a.Unattended():
			d.unattended++
		case a.Breaker != tasks.BreakerClosed:
			d.open++
		case a.Paused:
			d.paused++
		}
	}
	g.degraded.Store(&d)
	return nil
}

// full counts the accounts that there is no room for; the error says that there is for none.
func (g *Gateway) full(ctx context.Context, accounts []tasks.AccountStatus) (n int, none error) {
	if len(accounts) == 0 { // none has a voucher yet, or nobody knows
		accounts = []tasks.AccountStatus{{Account: tasks.DefaultAccount}}
	}
	for _, a := range accounts {
		if err := g.cfg.Tasks.Room(ctx, a.Account); errors.Is(err, tasks.ErrNoRoom) || errors.Is(err, tasks.ErrSpoolFull) {
			n, none = n+1, err
		}
	}
	if n < len(accounts) {
		none = nil
	}
	return n, none
}

// standingLimit leaves some of readyLimit: that vouchers are taken does not depend on it.
const standingLimit = readyLimit / 2

// standing asks how the accounts stand. A client that does not follow its context is left behind.
func (g *Gateway) standing(ctx context.Context) ([]tasks.AccountStatus, error) {
	type found struct {
		accounts []tasks.AccountStatus
		err      error
	}
	ctx, cancel := context.WithTimeout(ctx, standingLimit)
	defer cancel()
	answer := make(chan found, 1)
	go func() {
		accounts, err := g.cfg.Tasks.Accounts(ctx)
		answer <- found{accounts, err}
	}()
	select {
	case f := <-answer:
		return f.accounts, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// degraded counts the accounts whose uploads are not taken or not delivered now.
type degraded struct {
	full, unattended, open, paused int

	unknown  bool
	spooling bool
	spooled  int
}

func (d *degraded) reasons() (all []string) {
	if d == nil {
		return nil
	}
	if d.spooling {
		all = append(all, fmt.Sprintf("redis or the blob store is away: vouchers are taken into the spool, where %d wait", d.spooled))
	}
	if d.unknown {
		all = append(all, "nobody knows how the accounts stand")
	}
	if d.full > 0 {
		all = append(all, fmt.Sprintf("no voucher is taken for want of room: %d of the accounts", d.full))
	}
	if d.unattended > 0 {
		all = append(all, fmt.Sprintf("uploads wait and no worker is running: %d of the accounts", d.unattended))
	}
	if d.open > 0 {
		all = append(all, fmt.Sprintf("the circuit breaker is open: %d of the accounts", d.open))
	}
	if d.paused > 0 {
		all = append(all, fmt.Sprintf("paused in asynq: %d of the accounts", d.paused))
	}
	return all
}

const (
	readyEvery = time.Second     // for how long an answer counts
	readyLimit = 2 * time.Second // below what usual probes wait
)

// readiness asks whether the gateway is ready, once for all who want to know at a time.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

func (r *readiness) ask(ready func(context.Context) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && time.Since(r.at) < readyEvery {
		return r.err
	}
	// The answer is for all who ask, so it does not follow the context of the one who asked first.
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- ready(ctx) }()
	select {
	case r.err = <-answer:
	case <-ctx.Done(): // a client that does not follow its context is left behind
		r.err = errors.New("no answer in time")
	}
	r.at = time.Now()
	return r.err
}
