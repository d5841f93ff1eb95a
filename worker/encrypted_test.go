package worker_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
	"github.com/voucherd/voucherd/test/s3test"
)

func newKeys(t *testing.T) blob.Keys {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return blob.Keys{Recipients: []age.Recipient{id.Recipient()}, Identities: []age.Identity{id}}
}

// TestFlushedInMidRun has Redis lose everything while encrypted vouchers are delivered: rebuild
// brings back every upload that was accepted, and a producer reads none of them back.
func TestFlushedInMidRun(t *testing.T) {
	t.Parallel()
	for kind, setting := range map[string]func(*testing.T) string{
		"file": func(t *testing.T) string { t.Helper(); return "file://" + t.TempDir() },
		"s3":   func(t *testing.T) string { t.Helper(); return s3test.Start(t).Setting("here") },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			store, err := blob.Open(t.Context(), setting(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			keys, server := newKeys(t), redistest.Start(t, redistest.Options{})
			b := setup(t, func(b *bundle) {
				b.redis, b.keys, b.store = func() *redis.Client { return server.Client() }, keys, blob.Encrypt(store, keys)
			})
			half := blob.Keys{Recipients: keys.Recipients}
			producer := tasks.New(tasks.Config{Redis: b.rdb, Store: blob.Encrypt(store, half), Keys: half, Ledger: b.ledger})
			var accepted []ledger.Upload
			for i := range 60 {
				switch i {
				case 10:
					b.start("w")
				case 40:
					b.reaches(ledger.Delivered, accepted[0].ID)
					b.must(b.rdb.FlushAll(b.ctx).Err())
				}
				u, failed := producer.Enqueue(b.ctx, tasks.Request{
					Account: b.account, OrderID: fmt.Sprintf("order-%d", i/2), Voucher: bytes.NewReader(voucher(i)),
				})
				b.must(failed)
				accepted = append(accepted, u)
				if _, locked := producer.Voucher(b.ctx, u); i < 10 && !errors.Is(locked, blob.ErrLocked) {
					t.Errorf("the producer reads it back: %v", locked)
				}
			}
			if _, err = b.client.Rebuild(b.ctx, func(int, int) {}); err != nil {
				t.Fatal(err)
			}
			for _, u := range accepted {
				b.reaches(ledger.Delivered, u.ID)
			}
			arrived := map[string]bool{}
			for _, r := range b.api.Requests() {
				arrived[r.SHA256] = arrived[r.SHA256] || r.Accepted
			}
			for _, u := range accepted {
				if !arrived[u.SHA256] {
					t.Errorf("%s did not arrive as it was enqueued", u.ID)
				}
			}
		})
	}
}

// TestLockedOpensTheBreaker has a worker without the identity: it rejects nothing, and one that has
// it delivers and closes the breaker.
func TestLockedOpensTheBreaker(t *testing.T) {
	t.Parallel()
	for kind, inline := range map[string]int64{"kept by the ledger": ledger.InlineMost, "in a store": 0} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			keys := newKeys(t)
			half := blob.Keys{Recipients: keys.Recipients}
			rdb := redistest.Client(t)
			b := setup(t, func(b *bundle) {
				b.keys, b.store, b.inline = half, blob.Encrypt(blob.NewRedis(rdb), half), inline
			})
			u := b.enqueue("order", 1)
			stop := b.start("without")
			b.eventually("the breaker is open", func() bool { return b.breakerReason() == ledger.ReasonIdentity })
			if got := b.get(u.ID); got.State.Final() {
				t.Errorf("it is %s", got.State)
			}
			if _, err := b.client.Voucher(b.ctx, b.get(u.ID)); !errors.Is(err, blob.ErrLocked) {
				t.Errorf("read back: %v", err)
			}
			stop()
			b.keys, b.store = keys, blob.Encrypt(blob.NewRedis(rdb), keys)
			b.start("with")
			b.reaches(ledger.Delivered, u.ID)
			b.eventually("the breaker is closed", func() bool { return b.breakerReason() == "" })
		})
	}
}

// TestRotateWhileWorkersDeliver encrypts vouchers anew while two workers send them: each arrives, none
// is rejected, and no two forms of one are left behind.
func TestRotateWhileWorkersDeliver(t *testing.T) {
	t.Parallel()
	for kind, inline := range map[string]int64{"kept by the ledger": ledger.InlineMost, "redis": 0, "file": 0} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.Options{})
			var inner blob.Store = blob.NewRedis(server.Client())
			if kind == "file" {
				dir, err := blob.Open(t.Context(), "file://"+t.TempDir(), nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = dir.Close() })
				inner = dir
			}
			former, today := newKeys(t), newKeys(t)
			keys := blob.Keys{Recipients: today.Recipients, Identities: append(former.Identities, today.Identities...)}
			store := blob.Encrypt(inner, keys)
			b := setup(t, func(b *bundle) {
				b.redis, b.keys, b.store, b.inline = func() *redis.Client { return server.Client() }, keys, store, inline
			})
			producer := tasks.New(tasks.Config{
				Redis: b.rdb, Store: blob.Encrypt(inner, former), Keys: former, Ledger: b.ledger, InlineMost: inline,
			})
			var ids []string
			for i := range 200 {
				u, err := producer.Enqueue(b.ctx, tasks.Request{
					Account: b.account, OrderID: fmt.Sprintf("order-%d", i/2), Voucher: bytes.NewReader(voucher(i)),
				})
				b.must(err)
				ids = append(ids, u.ID)
			}
			with, err := store.Rotation()
			b.must(err)
			b.api.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(50 * time.Millisecond)})
			b.start("one")
			b.start("two")
			anew := 0
			for left := true; left; {
				r, err := b.client.Rotate(b.ctx, with, func(int, int) {})
				b.must(err)
				anew += r.Anew
				if r.Locked+r.Lost > 0 {
					t.Errorf("%+v", r)
				}
				counts, err := b.ledger.Counts(b.ctx, b.account)
				b.must(err)
				left = counts.Unfinished() > 0
			}
			if anew == 0 {
				t.Error("nothing was encrypted anew: the test shows nothing")
			}
			for _, id := range ids {
				b.reaches(ledger.Delivered, id)
				if u := b.get(id); u.AttemptCount != 1 {
					t.Errorf("%s took %d attempts: %+v", id, u.AttemptCount, u.Attempts)
				}
			}
			b.eventually("all vouchers leave", func() bool {
				for s, err := range inner.All(b.ctx) {
					if err != nil || s.State == "" {
						return false
					}
				}
				bytesLeft, err := b.rdb.Keys(b.ctx, "voucherd:{*}:[bv]:*").Result()
				return err == nil && len(bytesLeft) == 0
			})
		})
	}
}
