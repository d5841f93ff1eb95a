package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/process"
)

// scenario is what a victim does, and what becomes of it.
type scenario struct {
	name        string
	files       bool // vouchers lie in a directory, not in Redis
	awayAtFirst bool // the victim's Redis is away until relay.open
	loose       bool // chance has a say in whether it comes to its steps
	own         bool // it dies at its own steps only, and not at what any worker does

	vars    func(*run) []string                   // further settings
	api     func(*run, http.Handler) http.Handler // what stands before the API
	webhook func(*run) string                     // further settings of the account
	prepare func(*run)                            // before its first life
	victim  func(*run) []string                   // its command
	done    func(*run) bool                       // it has done all; nil: it ends by itself
	ended   func(*run)                            // it has ended as it should
	died    func(*run)                            // after each death
}

func scenarios() []scenario {
	list := []scenario{
		idles(), enqueues("enqueue", small), enqueues("enqueue large", large), inFiles(enqueues("enqueue file", small)),
		delivers("deliver", func(*run) {}), own(inFiles(delivers("deliver file", func(*run) {}))), own(inFiles(rejects())), own(retries()),
		own(redelivers()), own(renews()), own(takesOver()), reconciles(), own(webhooks()), spools(), drains(), rebuilds(),
	}
	for i, s := range list {
		if s.vars == nil {
			list[i].vars = func(*run) []string { return nil }
		}
		if s.api == nil {
			list[i].api = func(_ *run, api http.Handler) http.Handler { return api }
		}
		if s.webhook == nil {
			list[i].webhook = func(*run) string { return "" }
		}
		if s.prepare == nil {
			list[i].prepare = func(*run) {}
		}
	}
	return list
}

func own(s scenario) scenario {
	s.own = true
	return s
}

func inFiles(s scenario) scenario {
	s.files = true
	return s
}

// sizes of vouchers: one lies with its record, the other in the blob store.
const small, large = 100, 300 << 10

func command(args ...string) func(*run) []string { return func(*run) []string { return args } }

// idles has a worker start, find nothing to do, and stop.
func idles() scenario {
	return scenario{
		name: anyWorker, victim: command("worker"), done: func(*run) bool { return true },
		ended: func(r *run) { r.enqueue("4000", 1, small) },
	}
}

// takesOver has another worker there from the victim's death on.
func takesOver() scenario {
	s := delivers("take over", func(*run) {})
	s.died = func(r *run) {
		if r.other == nil {
			r.other = r.start([]string{"worker"})
		}
	}
	return s
}

// retries has the API fail once.
func retries() scenario {
	return delivers("retry", func(r *run) { r.api.SetFaults(sandbox.Fault{Kind: sandbox.Outage, Times: 1}) })
}

// enqueues has a producer enqueue a voucher, and again until it succeeds.
func enqueues(name string, size int) scenario {
	const order = "4001"
	return scenario{
		name: name,
		victim: func(r *run) []string {
			return []string{"enqueue", "--order", order, "--account", r.account, r.file("voucher.pdf", voucher(order, 0, size))}
		},
		ended: func(r *run) { r.promisedAs(order, 0, size) },
	}
}

// delivers has a worker deliver two vouchers of an order.
func delivers(name string, first func(*run)) scenario {
	return scenario{
		name: name,
		prepare: func(r *run) {
			r.enqueue("4002", 2, small)
			first(r)
		},
		victim: command("worker"), done: (*run).settled,
	}
}

// rejects has the API refuse a voucher for good, and a person send it again.
func rejects() scenario {
	s := delivers("reject", func(r *run) { r.api.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4242, Times: 1}) })
	s.done = func(r *run) bool {
		for id, u := range r.uploads() {
			if u.State == ledger.Rejected {
				r.mu.Lock()
				r.asked = time.Now()
				r.mu.Unlock()
				_, _ = r.open().Tasks.Retry(r.Context(), id, ledger.Who{By: "person"}) // the next look tries again
			}
		}
		return r.settled()
	}
	return s
}

// redelivers has asynq give out a task again while its attempt runs, as it does when a worker could
// not renew the lease in time.
func redelivers() scenario {
	s := delivers("redeliver", func(r *run) {
		r.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(1500 * time.Millisecond), Times: 2})
	})
	s.vars = func(*run) []string { return []string{"VOUCHERD_CALL_TIMEOUT=5s", "VOUCHERD_SHUTDOWN_TIMEOUT=6s"} }
	s.loose = true
	s.done = func(r *run) bool {
		for _, q := range r.api.Requests() {
			if q.AnsweredAt.IsZero() {
				r.again()
			}
		}
		return r.settled()
	}
	return s
}

// renews has the API answer once asynq has renewed the lease of the task, which it does each 5 s.
func renews() scenario {
	s := delivers("renew", func(*run) {})
	s.prepare = func(r *run) { r.enqueue("4012", 1, small) }
	s.vars = func(*run) []string { return []string{"VOUCHERD_CALL_TIMEOUT=40s", "VOUCHERD_SHUTDOWN_TIMEOUT=50s"} }
	s.api = func(r *run, api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			body, err := io.ReadAll(q.Body) // from here on q.Context ends when the worker dies
			if err != nil {
				return
			}
			q.Body = io.NopCloser(bytes.NewReader(body))
			if r.leaseRenewed(q.Context()) == nil {
				api.ServeHTTP(w, q)
			}
		})
	}
	return s
}

// leaseRenewed waits until asynq has renewed the lease of the task that it is working on.
func (r *run) leaseRenewed(ctx context.Context) error {
	until := func() float64 {
		last, err := r.rdb.ZRevRangeWithScores(ctx, "asynq:{"+ledger.Queue(r.account)+"}:lease", 0, 0).Result()
		if err != nil || len(last) == 0 {
			return 0
		}
		return last[0].Score
	}
	first := until()
	return process.Until(ctx, limit, "the lease is renewed", func() bool { return until() > first })
}

// again puts tasks that are taken up back into the queue, as asynq does when their leases are over.
func (r *run) again() {
	q := "asynq:{" + ledger.Queue(r.account) + "}:"
	err := r.rdb.Eval(r.Context(), `
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. 'lease', 0, -1)) do
  if redis.call('HSETNX', KEYS[1] .. 't:' .. id, 'again', 1) == 1 then
    redis.call('LREM', KEYS[1] .. 'active', 0, id)
    redis.call('ZREM', KEYS[1] .. 'lease', id)
    redis.call('HSET', KEYS[1] .. 't:' .. id, 'state', 'pending')
    redis.call('RPUSH', KEYS[1] .. 'pending', id)
  end
end
return 1`, []string{q}).Err()
	if err != nil {
		r.Error(err)
	}
	r.open().Tasks.Wake(r.Context(), r.account)
}

// reconciles has a worker find what others left behind: a queue that was flushed, an attempt of a
// worker that is gone, a discarded upload's voucher, and one that nobody claims.
func reconciles() scenario {
	return scenario{
		name: "reconcile", files: true, victim: command("worker"), done: (*run).settled,
		prepare: func(r *run) {
			r.enqueue("4003", 1, small)
			r.enqueue("4004", 2, small)
			st, ctx := r.open(), r.Context()
			began := r.enqueued[1].UploadID
			_, err := st.Ledger.Beat(ctx, r.account, ledger.WorkerInfo{Instance: "gone", Name: "gone"})
			r.must(err)
			b, err := st.Ledger.Begin(ctx, ledger.NewAttempt{
				ID: began, Generation: 1, Nonce: "gone", Worker: "gone", Instance: "gone", Lease: limit,
			})
			if err != nil || b.Answer != ledger.Started {
				r.Fatal(b, err)
			}
			r.killed["gone"] = time.Now()
			r.discarded("4005")
			_, err = st.Blob.Put(ctx, blobMeta(r.account), bytes.NewReader(voucher("4006", 0, small)))
			r.must(err)
			keys, err := r.rdb.Keys(ctx, "asynq:*").Result()
			r.must(err)
			r.must(r.rdb.Del(ctx, keys...).Err())
		},
	}
}

// webhooks has a worker tell a backend of what it delivers. Whoever died keeps the turn for half a
// minute: that passes faster here.
func webhooks() scenario {
	s := delivers("webhook", func(*run) {})
	s.vars = func(r *run) []string {
		return []string{"VOUCHERD_WEBHOOK_SECRET_FILE=" + r.file("secret", []byte("whsec_"+secretText))}
	}
	s.webhook = func(r *run) string {
		server := httptest.NewServer(r.deadly("http: webhook", &r.told))
		r.Cleanup(server.Close)
		return fmt.Sprintf(", webhookUrl: %q", server.URL)
	}
	s.done = func(r *run) bool { return r.settled() && r.told.count() == 2 }
	s.died = func(r *run) {
		r.rdb.PExpire(r.Context(), "voucherd:{"+ledger.Queue(r.account)+"}:webhook:turn", 100*time.Millisecond)
	}
	return s
}

const secretText = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// events is a backend that is told of uploads.
type events struct {
	mu sync.Mutex
	of map[string]string // id of the event by upload
}

func (e *events) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var event struct {
		ID   string `json:"id"`
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(q.Body).Decode(&event); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of == nil {
		e.of = map[string]string{}
	}
	if was := e.of[event.Data.ID]; was != "" && was != event.ID {
		e.of["told twice as different events"] = event.Data.ID
	}
	e.of[event.Data.ID] = event.ID
}

// count is of the uploads that it knows the end of.
func (e *events) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.of)
}

// spools has a gateway take vouchers while its Redis is away.
func spools() scenario {
	s := gateway("spool")
	s.done = func(r *run) bool { return r.posted("4007", 2) }
	s.ended = func(r *run) { r.relay.open(r.T) }
	return s
}

// drains has a gateway enqueue what it had taken, now that Redis is back.
func drains() scenario {
	s := gateway("drain")
	s.prepare = func(r *run) {
		p := r.start(s.victim(r))
		r.await("the vouchers are accepted", func() bool { return r.posted("4008", 2) && r.posted("4009", 1) })
		r.stop(p)
		r.relay.open(r.T)
	}
	s.done = func(r *run) bool {
		spooled, err := r.open().Tasks.Spooled()
		return err == nil && spooled.Vouchers == 0
	}
	return s
}

func gateway(name string) scenario {
	return scenario{
		name: name, awayAtFirst: true,
		vars: func(r *run) []string { return []string{"VOUCHERD_SPOOL=" + r.dir + "/spool"} },
		victim: func(r *run) []string {
			if r.listen == "" {
				r.listen = freeAddr(r.T)
			}
			return []string{"gateway", "--listen", r.listen}
		},
	}
}

// posted posts the next voucher of an order that is not accepted yet, and says whether all are.
func (r *run) posted(order string, n int) bool {
	have := 0
	for _, e := range r.enqueued {
		if e.OrderID == order {
			have++
		}
	}
	if have == n {
		return true
	}
	url := fmt.Sprintf("http://%s/v1/uploads?orderId=%s&account=%s", r.listen, order, r.account)
	q, err := http.NewRequestWithContext(r.Context(), http.MethodPost, url, bytes.NewReader(voucher(order, have, small)))
	r.must(err)
	q.Header.Set("Content-Type", "application/pdf")
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(q)
	if err != nil {
		return false // it died, or does not listen yet
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusOK {
		r.promisedAs(order, have, small)
	}
	return have+1 == n && resp.StatusCode < http.StatusBadRequest
}

// rebuilds has all that a Redis knew put back out of the store.
func rebuilds() scenario {
	return scenario{
		name: "rebuild", files: true, victim: command("rebuild"),
		prepare: func(r *run) {
			r.enqueue("4010", 1, small)
			p := r.start([]string{"worker"})
			r.await("the first is delivered", func() bool { return r.up(p) && r.settled() })
			r.stop(p)
			r.enqueue("4011", 2, small)
			r.must(r.rdb.FlushDB(r.Context()).Err())
		},
	}
}
