package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redistest"
	"github.com/voucherd/voucherd/ledger"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// bundle is what one test works with: a lane of its own in the shared Redis.
type bundle struct {
	*ledger.Ledger

	t    *testing.T
	ctx  context.Context //nolint:containedctx // a test's own
	rdb  *redis.Client
	lane string
}

const lease = time.Minute

func setup(t *testing.T, set ledger.Settings) *bundle {
	t.Helper()
	t.Parallel()
	rdb := redistest.Client(t)
	return &bundle{Ledger: ledger.New(rdb, set), t: t, ctx: t.Context(), rdb: rdb, lane: redistest.Lane(t)}
}

func (b *bundle) upload(order, content string) ledger.NewUpload {
	sum := sha256.Sum256([]byte(content))
	return ledger.NewUpload{
		Lane: b.lane, OrderID: order, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)),
		MediaType: "image/png", VaultKey: b.lane + "-" + content,
	}
}

func (b *bundle) open(order, content string) ledger.Opened {
	b.t.Helper()
	o, err := b.Open(b.ctx, b.upload(order, content))
	b.must(err)
	return o
}

func (b *bundle) begin(id string, generation int64, nonce string) ledger.Begun {
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

func (b *bundle) finish(run ledger.Running, o ledger.Outcome) ledger.Recorded {
	b.t.Helper()
	r, err := b.Finish(b.ctx, run, o)
	b.must(err)
	return r
}

func (b *bundle) get(id string) ledger.Upload {
	b.t.Helper()
	u, err := b.Get(b.ctx, id)
	b.must(err)
	return u
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func delivered(requestID string) ledger.Outcome {
	return ledger.Outcome{
		Verdict: ledger.VerdictDelivered, HTTPStatus: 200, Code: "200", RequestID: requestID, DevelopID: "1021091489188413467",
		Msg: "ok", Next: ledger.Delivered, Duration: 12 * time.Millisecond,
	}
}

func TestDelivery(t *testing.T) {
	b := setup(t, ledger.Settings{})
	o := b.open("1022505290408395575", "receipt")
	if o.Duplicate || o.Generation != 1 {
		t.Fatalf("opened %+v", o)
	}
	run := b.started(o.ID, 1, "n1")
	if run.Number != 1 || run.Size != 7 || run.OrderID != "1022505290408395575" || run.Age < 0 {
		t.Fatalf("running %+v", run)
	}
	rec := b.finish(run, delivered("req-1"))
	if rec.State != ledger.Delivered || rec.How != "recorded" {
		t.Fatalf("recorded %+v", rec)
	}
	for _, key := range []string{o.ID, "1022505290408395575", "req-1"} {
		us, err := b.Find(b.ctx, key)
		b.must(err)
		if len(us) != 1 || us[0].ID != o.ID || us[0].Attempts[0].RequestID != "req-1" {
			t.Fatalf("find %s: %+v", key, us)
		}
	}
}
