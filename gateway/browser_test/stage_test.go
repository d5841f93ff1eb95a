package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/internal/receipt"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
	"github.com/voucherd/voucherd/worker" //nolint:depguard // these tests run all there is, as an installation does
)

// stage is an installation: Redis, the API's stand-in, a worker with two accounts, and a gateway.
type stage struct {
	t                  *testing.T
	ctx                context.Context //nolint:containedctx // a test's own
	rdb                *redis.Client
	tasks              *tasks.Client
	box                *sandbox.Sandbox
	url                string
	operator, producer string
	vouchers           int
	stopWorker         func()
}

// The accounts, with an account each.
const (
	mainAccount  = "default"
	otherAccount = "shanghai"
	mainUser     = "2100007341207"
	otherUser    = "2100007341299"

	finalCode = 4003 // rejects an upload at once
)

func account(user string) pandapon.Credentials {
	return pandapon.Credentials{
		AccessKey: "58c0201dfdf148eca63cbf6bb5e7cf03", Secret: "5ec2e75ec2e75ec2e75ec2e75ec2e75e", UserID: user, // #nosec G101 -- a test's own
	}
}

func newStage(t *testing.T) *stage {
	t.Helper()
	server := redistest.Start(t, redistest.Options{})
	s := &stage{t: t, ctx: t.Context(), rdb: server.Client()}
	s.box = sandbox.New(sandbox.Config{
		Credentials: []pandapon.Credentials{account("")}, CheckNonce: true, Delay: 20 * time.Millisecond,
	})
	api := httptest.NewServer(s.box)
	t.Cleanup(func() { s.box.Close(); api.Close() })
	v := blob.NewRedis(s.rdb)
	// Only an account's credentials open its breaker here, so that what one look does to one order
	// stays there.
	l := ledger.New(s.rdb, ledger.Settings{Breaker: ledger.BreakerSettings{
		OutageRow: 1000, RefusingRow: 1000, ProbeBase: 3 * time.Second, ProbeMax: 3 * time.Second,
	}})
	s.tasks = tasks.New(tasks.Config{Redis: s.rdb, Store: v, Ledger: l, InlineMost: ledger.InlineMost, Retention: time.Hour})
	s.work(server.Client(), l, v, api.URL)
	s.serve()
	return s
}

func (s *stage) work(queue *redis.Client, l *ledger.Ledger, v blob.Store, apiURL string) {
	s.t.Helper()
	api, err := pandapon.NewClient(pandapon.Config{BaseURL: apiURL, CallTimeout: 5 * time.Second})
	must(s.t, err)
	w, err := worker.New(worker.Config{
		QueueRedis: queue, Ledger: l, Store: v, Tasks: s.tasks, Log: zap.NewNop(),
		Policy: worker.Policy{
			Short:      []time.Duration{200 * time.Millisecond, 200 * time.Millisecond, 20 * time.Minute},
			CodesFinal: []string{strconv.Itoa(finalCode)},
		},
		Settings: worker.Settings{Name: "worker-1", PollEvery: 50 * time.Millisecond, TaskRetention: time.Hour, CallTimeout: 5 * time.Second},
		Accounts: []worker.AccountConfig{
			{Name: mainAccount, Credentials: account(mainUser), API: api, Concurrency: 4},
			{Name: otherAccount, Credentials: account(otherUser), API: api, Concurrency: 2},
		},
	})
	must(s.t, err)
	s.stopWorker = s.background("worker", w.Run)
	s.t.Cleanup(api.Close)
}

func (s *stage) serve() {
	s.t.Helper()
	secretOf := func(role gateway.Role, name string) (string, gateway.Token) {
		secret, stored, err := gateway.NewToken(role, name)
		must(s.t, err)
		return secret, stored
	}
	cfg := gateway.Config{Tasks: s.tasks, Redis: s.rdb, Tokens: make([]gateway.Token, 2)}
	s.operator, cfg.Tokens[0] = secretOf(gateway.Operator, "li-na")
	s.producer, cfg.Tokens[1] = secretOf(gateway.Producer, "shop")
	var err error
	cfg.Queues, err = gateway.NewQueues(s.rdb, false)
	must(s.t, err)
	cfg.QueuesReadOnly, err = gateway.NewQueues(s.rdb, true)
	must(s.t, err)
	g, err := gateway.New(cfg)
	must(s.t, err)
	listener, err := new(net.ListenConfig).Listen(s.ctx, "tcp", "127.0.0.1:0")
	must(s.t, err)
	s.url = "http://" + listener.Addr().String()
	s.background("gateway", func(ctx context.Context) error { return g.Serve(ctx, listener) })
}

// background runs something until the test, or stop, ends it.
func (s *stage) background(name string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// order gives an order id as PandaPon's are.
func order(n int) string { return fmt.Sprintf("1993804417200%06d", n) }

// hand hands a receipt over.
func (s *stage) hand(account, orderID string) ledger.Upload {
	s.t.Helper()
	s.vouchers++
	var picture bytes.Buffer
	must(s.t, receipt.Draw(&picture, receipt.Receipt{
		Order: orderID, Amount: fmt.Sprintf("CNY %d.50", 100+s.vouchers), Paid: "2026-11-22 21:04",
	}))
	u, err := s.tasks.Enqueue(s.ctx, tasks.Request{
		Account: account, OrderID: orderID, Reference: fmt.Sprintf("PO-2026-%04d", s.vouchers), Voucher: &picture,
	})
	must(s.t, err)
	return u
}

// comes waits until an upload is as it should be.
func (s *stage) comes(id string, ok func(ledger.Upload) bool) ledger.Upload {
	s.t.Helper()
	deadline, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		u, err := s.tasks.Get(s.ctx, id)
		must(s.t, err)
		if ok(u) {
			return u
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			s.t.Fatalf("waited in vain: %+v", u)
		}
	}
}

func (s *stage) ends(u ledger.Upload, state ledger.State) ledger.Upload {
	s.t.Helper()
	return s.comes(u.ID, func(u ledger.Upload) bool { return u.State == state })
}

// refuse is a fault that rejects an order for good.
func refuse(orderID, msg string) sandbox.Fault {
	return sandbox.Fault{Kind: sandbox.Refuse, Code: finalCode, Msg: msg, OrderID: orderID}
}

// rejected enqueues orders that are refused for good, numbered from n on.
func (s *stage) rejected(n, many int, msg string) []ledger.Upload {
	s.t.Helper()
	var faults []sandbox.Fault
	for i := range many {
		faults = append(faults, refuse(order(n+i), msg))
	}
	s.box.SetFaults(faults...)
	var all []ledger.Upload
	for i := range many {
		all = append(all, s.hand(mainAccount, order(n+i)))
	}
	for i, u := range all {
		all[i] = s.ends(u, ledger.Rejected)
	}
	return all
}

// openBreaker makes the other account's account fail, and waits for its breaker.
func (s *stage) openBreaker(many int) {
	s.t.Helper()
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.Unauthorized, UserID: otherUser, Msg: "The signature does not match."})
	for i := range many {
		s.hand(otherAccount, order(900000+i))
	}
	s.wait("the breaker shuts", func() bool {
		accounts, err := s.tasks.Accounts(s.ctx)
		must(s.t, err)
		for _, l := range accounts {
			if l.Account == otherAccount && l.Breaker != tasks.BreakerClosed {
				return true
			}
		}
		return false
	})
}

func (s *stage) wait(what string, ok func() bool) {
	s.t.Helper()
	deadline, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.Done():
			s.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// past counts attempts of the week before, so that the charts have something to show.
func (s *stage) past() {
	s.t.Helper()
	now, err := s.rdb.Time(s.ctx).Result()
	must(s.t, err)
	quarter := now.Unix() / 900
	for i := int64(1); i < 7*96; i++ {
		hour := i / 4 % 24
		step := quarter - i
		field := strconv.FormatInt(step%16, 10)
		values := []any{
			field + " delivered 15", 40 + (i*37)%23 - 3*max(0, 8-hour%12), field + " delivered 17", 6 + i%5, field + " refused 14", max(0, i%29-26),
			field + " backlog", max(0, 30-(i-40)*(i-40)) + i%4, field + " breaker", "",
		}
		if i > 36 && i < 44 {
			values = append(values, field+" unclear 29", 20+i%7, field+" breaker", "outage")
		}
		must(s.t, s.rdb.HSet(s.ctx, fmt.Sprintf("voucherd:{%s}:c:q:%d", ledger.Queue(mainAccount), step/16), values...).Err())
	}
}
