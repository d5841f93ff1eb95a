package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// bundle is what one test works with: an account of its own in the shared Redis.
type bundle struct {
	*ledger.Ledger

	t       testing.TB
	ctx     context.Context //nolint:containedctx // a test's own
	rdb     *redis.Client
	account string
	set     ledger.Settings
}

// lease is longer than any test takes: leases end when a test says so, with later.
const lease = time.Minute

func setup(t *testing.T, set ledger.Settings) *bundle {
	t.Helper()
	return newBundle(t, redistest.Client(t), set)
}

func newBundle(tb testing.TB, rdb *redis.Client, set ledger.Settings) *bundle {
	tb.Helper()
	l := ledger.New(rdb, set)
	return &bundle{Ledger: l, t: tb, ctx: tb.Context(), rdb: rdb, account: redistest.Account(tb), set: l.Settings()}
}

func (b *bundle) upload(order, content string) ledger.NewUpload {
	return ledger.NewUpload{
		Account: b.account, OrderID: order, SHA256: hash(content), Size: int64(len(content)),
		MediaType: "image/png", StoreKey: b.account + "-" + content,
	}
}

func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func (b *bundle) openAs(u ledger.NewUpload) ledger.Opened {
	b.t.Helper()
	o, err := b.Open(b.ctx, u)
	b.must(err)
	if o.At.IsZero() {
		b.t.Errorf("open %s says not when", u.OrderID)
	}
	o.At, o.Since, o.Holds = ledger.Time{}, ledger.Time{}, "" // the rest can be foretold
	return o
}

func (b *bundle) open(order, content string) ledger.Opened {
	b.t.Helper()
	return b.openAs(b.upload(order, content))
}

func (b *bundle) begin(id string, generation int64, nonce string) ledger.BeginResult {
	b.t.Helper()
	g, err := b.Begin(b.ctx, ledger.NewAttempt{ID: id, Generation: generation, Nonce: nonce, Worker: "w", Lease: lease})
	b.must(err)
	return g
}

// started begins an attempt that must start.
func (b *bundle) started(id string, generation int64, nonce string) ledger.Running {
	b.t.Helper()
	g := b.begin(id, generation, nonce)
	if g.Answer != ledger.Started {
		b.t.Fatalf("begin %s: %+v, want started", id, g)
	}
	return g.Running
}

// stopped begins an attempt that must not start.
func (b *bundle) stopped(id string, generation int64, nonce string, want ledger.Answer) ledger.Wait {
	b.t.Helper()
	g := b.begin(id, generation, nonce)
	if g.Answer != want {
		b.t.Fatalf("begin %s: %+v, want %s", id, g, want)
	}
	return g.Wait
}

func (b *bundle) finish(run ledger.Running, o ledger.AttemptResult) ledger.FinishResult {
	b.t.Helper()
	r, err := b.Finish(b.ctx, run, o)
	b.must(err)
	return r
}

// attempt makes an attempt of the newest generation and finishes it.
func (b *bundle) attempt(id string, o ledger.AttemptResult) ledger.FinishResult {
	b.t.Helper()
	u := b.get(id)
	return b.finish(b.started(id, u.Generation, id+strconv.Itoa(u.AttemptCount+1)), o)
}

// who is whoever acts in these tests.
func who() ledger.Who { return ledger.Who{By: "li-na", Reason: "asked to"} }

func (b *bundle) reopen(id string) ledger.Task {
	b.t.Helper()
	task, err := b.Reopen(b.ctx, id, who())
	b.must(err)
	return task
}

func (b *bundle) discard(id string) (ledger.Task, int64) {
	b.t.Helper()
	next, worthless, err := b.Discard(b.ctx, id, who())
	b.must(err)
	return next, worthless
}

func (b *bundle) get(id string) ledger.Upload {
	b.t.Helper()
	u, err := b.Get(b.ctx, id)
	b.must(err)
	return u
}

func (b *bundle) state(id string, want ledger.State) {
	b.t.Helper()
	if u := b.get(id); u.State != want {
		b.t.Fatalf("upload %s is %s, want %s", id, u.State, want)
	}
}

func (b *bundle) breaker() ledger.Breaker {
	b.t.Helper()
	g, err := b.Breaker(b.ctx, b.account)
	b.must(err)
	return g
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// key is the upload's id without its account.
func (b *bundle) key(id string) string { return strings.TrimPrefix(id, b.account+"-") }

// prefix is what the account's keys begin with.
func (b *bundle) prefix() string { return "voucherd:{" + ledger.Queue(b.account) + "}:" }

// keys gives the names of all the account's keys, sorted.
func (b *bundle) keys() []string {
	b.t.Helper()
	var all []string
	it := b.rdb.Scan(b.ctx, 0, b.prefix()+"*", 1000).Iterator()
	for it.Next(b.ctx) {
		all = append(all, strings.TrimPrefix(it.Val(), b.prefix()))
	}
	b.must(it.Err())
	slices.Sort(all)
	return slices.Compact(all)
}

// lasting gives the names of those keys that do not expire by themselves.
func (b *bundle) lasting() []string {
	b.t.Helper()
	return slices.DeleteFunc(b.keys(), func(name string) bool { return strings.HasPrefix(name, "c:") })
}

// later lets time pass without waiting for it: everything the account has written down moves into
// the past.
func (b *bundle) later(d time.Duration) {
	b.t.Helper()
	ms := d.Milliseconds()
	for _, name := range b.keys() {
		key := b.prefix() + name
		kind, _, _ := strings.Cut(name, ":")
		switch kind {
		case "u":
			b.earlier(key, ms, "lease", "next", "made", "since", "done", "assigned")
		case "breaker":
			b.earlier(key, ms, "since", "until", "bound", "probe_till", "last_at", "paused_at", "paused_till")
		case "c":
			b.stepsEarlier(name, ms)
		case "s", "e", "keep":
			zs, err := b.rdb.ZRangeWithScores(b.ctx, key, 0, -1).Result()
			b.must(err)
			for _, z := range zs {
				b.must(b.rdb.ZIncrBy(b.ctx, key, float64(-ms), fmt.Sprint(z.Member)).Err())
			}
		case "o":
			zs, err := b.rdb.ZRangeByScoreWithScores(b.ctx, key, &redis.ZRangeBy{Min: "(0", Max: "+inf"}).Result()
			b.must(err)
			for _, z := range zs {
				b.must(b.rdb.ZIncrBy(b.ctx, key, float64(-ms), fmt.Sprint(z.Member)).Err())
			}
		}
	}
}

// stepsEarlier moves what was counted by steps of time.
func (b *bundle) stepsEarlier(name string, ms int64) {
	b.t.Helper()
	step, steps := time.Minute.Milliseconds(), int64(10)
	if strings.HasPrefix(name, "c:q:") {
		step, steps = 15*step, 16
	}
	index, err := strconv.ParseInt(name[len("c:q:"):], 10, 64)
	b.must(err)
	fields, err := b.rdb.HGetAll(b.ctx, b.prefix()+name).Result()
	b.must(err)
	b.must(b.rdb.Del(b.ctx, b.prefix()+name).Err())
	for field, value := range fields {
		place, what, _ := strings.Cut(field, " ")
		n, err := strconv.ParseInt(place, 10, 64)
		b.must(err)
		n += index*steps - ms/step
		b.must(b.rdb.HSet(b.ctx, fmt.Sprint(b.prefix(), name[:len("c:q:")], n/steps), fmt.Sprint(n%steps, " ", what), value).Err())
	}
}

// earlier moves the times in a hash that are not 0.
func (b *bundle) earlier(key string, ms int64, fields ...string) {
	b.t.Helper()
	values, err := b.rdb.HMGet(b.ctx, key, fields...).Result()
	b.must(err)
	for i, v := range values {
		if s, ok := v.(string); ok && s != "0" {
			b.must(b.rdb.HIncrBy(b.ctx, key, fields[i], -ms).Err())
		}
	}
}

func redisZ(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }
