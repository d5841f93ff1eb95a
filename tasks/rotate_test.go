package tasks_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func newKeys(t *testing.T) blob.Keys {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return blob.Keys{Recipients: []age.Recipient{id.Recipient()}, Identities: []age.Identity{id}}
}

// holder is a client of the same installation that holds these keys.
func (b *bundle) holder(keys blob.Keys, inline int64) (*tasks.Client, *blob.Encrypted) {
	store := blob.Encrypt(b.store, keys)
	return tasks.New(tasks.Config{Redis: b.rdb, Store: store, Keys: keys, InlineMost: inline}), store
}

func (b *bundle) rotate(c *tasks.Client, s *blob.Encrypted) tasks.Rotated {
	b.t.Helper()
	with, err := s.Rotation()
	b.must(err)
	steps := 0
	r, err := c.Rotate(b.ctx, with, func(done, _ int) { steps = done })
	b.must(err)
	if all := r.Anew + r.Current + r.Locked + r.Lost; steps != all {
		b.t.Errorf("%d steps for %+v", steps, r)
	}
	return r
}

// Vouchers in plain, and those of a former key, are encrypted to the new key alone. Doing it again
// changes nothing, and what was being sent is done then.
func TestRotate(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		inline int64
		dir    bool
	}{"kept by the ledger": {inline: ledger.InlineMost}, "redis": {}, "file": {dir: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Options{})
			b := with(t, s.Client(), blob.NewRedis(s.Client()), of.inline)
			if of.dir {
				dir, err := blob.Open(t.Context(), "file://"+t.TempDir(), nil)
				b.must(err)
				t.Cleanup(func() { _ = dir.Close() })
				b = with(t, b.rdb, dir, 0)
			}
			former, today := newKeys(t), newKeys(t)
			both := blob.Keys{Recipients: today.Recipients, Identities: append(former.Identities, today.Identities...)}
			plain, _ := b.holder(blob.Keys{}, of.inline)
			before, _ := b.holder(former, of.inline)
			now, store := b.holder(both, of.inline)
			var us []ledger.Upload
			for i, c := range []*tasks.Client{plain, before, before, before, now} {
				u, err := c.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: fmt.Sprint("order-", min(i, 3)), Voucher: pdf(strconv.Itoa(i))})
				b.must(err)
				us = append(us, u)
			}
			b.reject(us[1])
			run := b.begin(us[2])
			if r := b.rotate(now, store); r != (tasks.Rotated{Anew: 3, Current: 1, Sending: 1}) {
				t.Errorf("first: %+v", r)
			}
			b.must(ledger.New(b.rdb, ledger.Settings{}).Release(b.ctx, run, ""))
			if r := b.rotate(now, store); r != (tasks.Rotated{Anew: 1, Current: 4}) {
				t.Errorf("again: %+v", r)
			}
			if n := b.kept(); of.inline == 0 && !of.dir && n != len(us) {
				t.Errorf("%d vouchers are kept, want %d", n, len(us))
			}
			reader, _ := b.holder(today, of.inline)
			b.readsAll(reader, us)
			if of.dir {
				b.must(b.rdb.FlushAll(b.ctx).Err())
				if r, err := reader.Rebuild(b.ctx, func(int, int) {}); err != nil || r.Restored != len(us) || r.Damaged != 0 {
					t.Errorf("rebuilt %+v, %v", r, err)
				}
				b.readsAll(reader, us)
				if u := b.get(us[1].ID); u.State != ledger.Rejected {
					t.Errorf("the rejected one is %s", u.State)
				}
				if first, second := b.get(us[3].ID), b.get(us[4].ID); first.Generation == 0 || second.Generation != 0 {
					t.Errorf("generations %d and %d, want the first of the order to come first", first.Generation, second.Generation)
				}
			}
		})
	}
}

func (b *bundle) readsAll(c *tasks.Client, us []ledger.Upload) {
	b.t.Helper()
	for i, u := range us {
		r, err := c.Voucher(b.ctx, b.get(u.ID))
		b.must(err)
		text, err := io.ReadAll(r)
		b.must(errors.Join(err, r.Close()))
		if want, _ := io.ReadAll(pdf(strconv.Itoa(i))); string(text) != string(want) {
			b.t.Errorf("%d reads %q", i, text)
		}
	}
}

// Nothing is encrypted so that nobody here could open it, and what cannot be opened stays as it is.
func TestRotateNeedsIdentities(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	b := with(t, s.Client(), blob.NewRedis(s.Client()), 0)
	former, today := newKeys(t), newKeys(t)
	before, _ := b.holder(former, 0)
	_, err := before.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: "1", Voucher: strings.NewReader("%PDF-1.4")})
	b.must(err)
	for _, keys := range []blob.Keys{{Identities: today.Identities}, {Recipients: today.Recipients, Identities: former.Identities}} {
		if _, err := blob.Encrypt(b.store, keys).Rotation(); err == nil {
			t.Error("it would rotate")
		}
	}
	if r := b.rotate(b.holder(today, 0)); r != (tasks.Rotated{Locked: 1}) {
		t.Errorf("%+v", r)
	}
	if r := b.rotate(b.holder(blob.Keys{Recipients: former.Recipients, Identities: append(today.Identities, former.Identities...)}, 0)); r.Current != 1 {
		t.Errorf("after that: %+v", r)
	}
}

// TestRotateMeetsWhatMovesBack has an upload be sent while the waiting ones are looked at, and wait
// again when those that are being sent are.
func TestRotateMeetsWhatMovesBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	b := with(t, s.Client(), blob.NewRedis(s.Client()), ledger.InlineMost)
	plain, _ := b.holder(blob.Keys{}, ledger.InlineMost)
	l := ledger.New(b.rdb, ledger.Settings{})
	wait := func(run ledger.Running) {
		_, err := l.Finish(b.ctx, run, ledger.AttemptResult{Outcome: ledger.OutcomeUnavailable, Next: ledger.Waiting, Delay: time.Hour})
		b.must(err)
	}
	var runs []ledger.Running
	for _, order := range []string{"waits", "moves"} {
		u, err := plain.Enqueue(b.ctx, tasks.Request{Account: b.account, OrderID: order, Voucher: pdf(order)})
		b.must(err)
		runs = append(runs, b.begin(u))
	}
	wait(runs[0])
	now, store := b.holder(newKeys(t), ledger.InlineMost)
	with, err := store.Rotation()
	b.must(err)
	r, err := now.Rotate(b.ctx, with, func(done, _ int) {
		if done == 1 {
			wait(runs[1])
		}
	})
	b.must(err)
	if r != (tasks.Rotated{Anew: 2}) {
		t.Errorf("%+v", r)
	}
}
