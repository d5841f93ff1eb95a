package crash_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

// limit is far beyond what any condition here takes.
const limit = 90 * time.Second

// run is one life story: of a scenario, with deaths at one point. It has an account, a Redis
// database, a blob store and a stand-in of the API of its own.
type run struct {
	*testing.T

	scenario scenario
	tags     string // that the program is built with
	dir      string
	account  string
	env      []string
	rdb      *redis.Client
	api      *sandbox.Sandbox
	told     events                // by webhooks
	relay    *relay                // to Redis, of victims whose Redis is away for a while; nil: none
	listen   string                // where a gateway listens
	aim      atomic.Pointer[point] // the request that is to kill the victim; nil: none
	victim   atomic.Pointer[process.Process]

	dead  int              // how often the victim has died
	other *process.Process // a worker that is no victim; nil: none

	mu       sync.Mutex
	met      map[string]bool // requests that the victim made
	lives    int
	killed   map[string]time.Time
	enqueued []audit.Enqueued
	asked    time.Time // from when rejected uploads were sent again
	store    *app.Store
}

// databases are numbers of databases that no run has had.
type databases struct {
	server *redistest.Server
	last   atomic.Int64
}

func newDatabases(t *testing.T) *databases {
	t.Helper()
	return &databases{server: redistest.Start(t, redistest.Options{Args: []string{"--databases", "4096"}})}
}

// compressed are schedules and time limits that fit a crash and what follows into a few seconds.
const compressed = `
	VOUCHERD_CALL_TIMEOUT=3s VOUCHERD_SHUTDOWN_TIMEOUT=4s VOUCHERD_LEASE_MARGIN=1s VOUCHERD_CONCURRENCY=4
	VOUCHERD_SHORT_SCHEDULE=100ms VOUCHERD_LONG_SCHEDULE=100ms VOUCHERD_RETRY_AFTER_MIN=100ms
	VOUCHERD_OUTAGE_BASE=100ms VOUCHERD_OUTAGE_MAX=200ms VOUCHERD_PROBE_BASE=100ms VOUCHERD_PROBE_MAX=200ms
	VOUCHERD_GRACE=500ms VOUCHERD_BEAT_EVERY=200ms VOUCHERD_DEAD_AFTER=2s VOUCHERD_RECONCILE_EVERY=200ms
	VOUCHERD_REDIS_PAUSE=100ms VOUCHERD_ORPHAN_AGE=3s VOUCHERD_LOG_FORMAT=json
	VOUCHERD_WORKER_LISTEN=127.0.0.1:0 VOUCHERD_WEBHOOK_ALLOW_PRIVATE=yes PANDAPON_CODES_FINAL=4242`

func newRun(t *testing.T, dbs *databases, s scenario) *run {
	t.Helper()
	const secret = "crash-secret"
	r := &run{T: t, scenario: s, tags: "crashpoints", dir: t.TempDir(), account: redistest.Account(t), met: map[string]bool{}, killed: map[string]time.Time{}}
	r.api = sandbox.New(sandbox.Config{
		Credentials: []pandapon.Credentials{{AccessKey: "key", Secret: secret, UserID: "user"}}, CheckNonce: true,
	})
	server := httptest.NewServer(r.deadly("http: upload", s.api(r, r.api)))
	t.Cleanup(server.Close)
	t.Cleanup(r.api.Close)
	addr, db := dbs.server.Addr, dbs.last.Add(1)
	r.rdb = redis.NewClient(&redis.Options{Addr: addr, DB: int(db)})
	t.Cleanup(func() {
		_ = r.rdb.FlushDB(context.WithoutCancel(t.Context())).Err() // frees its memory
		_ = r.rdb.Close()
	})
	if s.awayAtFirst {
		r.relay = newRelay(t, addr)
		addr = r.relay.addr
	}
	file := fmt.Sprintf("accounts:\n- {name: %s, accessKey: key, userId: user, secretEnv: CRASH_SECRET, baseUrl: %q%s}\n",
		r.account, server.URL, s.webhook(r))
	r.env = append(strings.Fields(compressed), "VOUCHERD_ACCOUNT="+r.account, "CRASH_SECRET="+secret, "HOME="+r.dir,
		fmt.Sprintf("VOUCHERD_REDIS_URL=redis://%s/%d", addr, db), "VOUCHERD_ACCOUNTS_FILE="+r.file("accounts.yaml", []byte(file)))
	if s.files {
		store := filepath.Join(r.dir, "store")
		if err := os.Mkdir(store, 0o700); err != nil {
			t.Fatal(err)
		}
		r.env = append(r.env, "VOUCHERD_STORE=file://"+store)
	}
	r.env = append(r.env, s.vars(r)...)
	return r
}

// file writes a file of the run's own and gives its path.
func (r *run) file(name string, content []byte) string {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

// open gives the store of the run, as this process sees it. It is opened late: a victim shall be
// the one that makes it.
func (r *run) open() *app.Store {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		return r.store
	}
	in := config.Input{Sections: append(app.StoreSections(), config.Delivery), Given: map[string]config.Given{}}
	for _, v := range r.env {
		if name, text, _ := strings.Cut(v, "="); strings.HasPrefix(name, "VOUCHERD_") && name != "VOUCHERD_ACCOUNT" {
			in.Given[name] = config.Given{Name: name, Text: text}
		}
	}
	in.Given["VOUCHERD_REDIS_URL"] = config.Given{
		Name: "VOUCHERD_REDIS_URL", Text: fmt.Sprintf("redis://%s/%d", r.rdb.Options().Addr, r.rdb.Options().DB),
	}
	delete(in.Given, "VOUCHERD_ACCOUNTS_FILE") // its secret is in the environment of the victims
	cfg, err := config.Load(in)
	if err == nil {
		r.store, err = app.OpenStore(r.Context(), cfg, 0)
	}
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.store.Close() })
	return r.store
}

// voucher gives the n-th voucher of an order.
func voucher(order string, n, size int) []byte {
	text := fmt.Appendf(nil, "%%PDF-1.7\norder %s, voucher %d\n", order, n)
	return append(text, make([]byte, max(0, size-len(text)))...)
}

// promised notes that a voucher was accepted.
func (r *run) promised(id, order string, n int, content []byte) {
	sum := sha256.Sum256(content)
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.enqueued, func(e audit.Enqueued) bool { return e.UploadID == id }) {
		return
	}
	r.enqueued = append(r.enqueued, audit.Enqueued{
		UploadID: id, Account: r.account, OrderID: order, SHA256: hex.EncodeToString(sum[:]), Place: n, Asked: time.Now(), At: time.Now(),
	})
}

// enqueue enqueues vouchers of an order, as another producer.
func (r *run) enqueue(order string, n, size int) {
	r.Helper()
	for i := range n {
		content := voucher(order, i, size)
		u, err := r.open().Tasks.Enqueue(r.Context(), tasks.Request{Account: r.account, OrderID: order, Voucher: strings.NewReader(string(content))})
		if err != nil {
			r.Fatal(err)
		}
		r.promised(u.ID, order, i, content)
	}
}

// deadly is a server of the victim's at which it may die: before means that the request arrived and
// nothing more, after that all was done but the answer.
func (r *run) deadly(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.met[name] = true
		r.mu.Unlock()
		at := r.aim.Load()
		if at == nil || at.name != name || !r.aim.CompareAndSwap(at, nil) {
			next.ServeHTTP(w, q)
			return
		}
		if at.when == "after" {
			next.ServeHTTP(httptest.NewRecorder(), q)
		}
		r.victim.Load().Kill()
		panic(http.ErrAbortHandler)
	})
}

// await waits until something is so.
func (r *run) await(what string, so func() bool) {
	r.Helper()
	if err := process.Until(r.Context(), limit, what, so); err != nil {
		r.Fatalf("%v\n%s", err, r.logs())
	}
}
