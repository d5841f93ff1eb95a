package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
)

// heartbeat tells the ledger that this worker lives, and takes uploads back from workers that no
// longer do. Whether one lives it judges only by what it saw itself: signs of life that stayed the
// same for long, while it reached Redis all that time. So nobody's clock plays a part, and a Redis
// that was away, or a pause of this process, makes nobody seem dead.
type heartbeat struct {
	account string
	me      ledger.WorkerInfo
	ledger  *ledger.Ledger
	put     func(context.Context, []ledger.Repair, string) error
	log     *zap.Logger
	every   time.Duration
	dead    time.Duration
	known   chan struct{} // closed with the first beat

	mu     sync.Mutex
	wrote  time.Time // when it last set out to beat, and did
	silent time.Time // end of the last silence in which others may have taken it for dead

	looked time.Time // when it last saw signs of life
	beats  map[string]sighting[string]
	leases map[string]sighting[float64]
}

// sighting is a sign of life, and when it was first seen as it is.
type sighting[T comparable] struct {
	sign  T
	since time.Time
}

// leaseDead is how long the lease of a task may stay as it is: asynq renews it every 5 s.
const leaseDead = 10 * time.Second

func newHeartbeat(ac AccountConfig, cfg Config, log *zap.Logger) *heartbeat {
	return &heartbeat{
		account: ac.Name, ledger: cfg.Ledger, log: log, every: cfg.Settings.BeatEvery, dead: cfg.Settings.DeadAfter,
		known: make(chan struct{}),
		me: ledger.WorkerInfo{
			Instance: rand.Text(), Name: cfg.Settings.Name, Host: cfg.Host, Version: cfg.Version,
			Concurrency: ac.Concurrency, Rate: ac.Rate.String(), DeadAfterMS: cfg.Settings.DeadAfter.Milliseconds(),
		},
	}
}

// run beats until the context ends. The last beat stays: what this worker may have left undone is
// taken back from it like from one that died.
func (h *heartbeat) run(ctx context.Context) {
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for said := false; ; {
		err := h.beat(ctx)
		if err != nil && !said && ctx.Err() == nil {
			h.log.Warn("worker.not_beating", zap.Error(err))
		}
		said = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *heartbeat) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.dead/2)
	defer cancel()
	asked := time.Now()
	seen, err := h.ledger.Beat(ctx, h.account, h.me)
	if err != nil {
		return err
	}
	if h.me.LastBeat = seen.Now; h.me.StartedAt.IsZero() {
		h.me.StartedAt = seen.Now
	}
	h.note(asked)
	if asked.Sub(h.looked) > h.dead/2 { // what happened in between nobody saw
		h.beats, h.leases = map[string]sighting[string]{}, map[string]sighting[float64]{}
	}
	h.looked = time.Now()
	silent := ledger.Vitals{
		Beats:  unchanged(h.beats, seen.Beats, asked, h.looked, h.dead),
		Leases: unchanged(h.leases, seen.Leases, asked, h.looked, max(h.dead, leaseDead)),
	}
	delete(silent.Beats, h.me.Instance)
	if len(silent.Beats)+len(silent.Leases) == 0 {
		return nil
	}
	found, err := h.ledger.Recover(ctx, h.account, silent)
	if err != nil {
		return err
	}
	return h.put(ctx, found, "dead worker")
}

// note takes in that it has beaten.
func (h *heartbeat) note(asked time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.wrote.IsZero() {
		close(h.known)
	} else if now.Sub(h.wrote) >= h.dead {
		h.silent = now
	}
	h.wrote = asked
}

// errTakenOver means that this worker was silent for so long that another may have taken the upload.
var errTakenOver = errors.New("this worker was silent, and another may have the upload")

// owns says whether an attempt that began then is this worker's own beyond doubt: it has not been
// silent since for so long that others may have taken it for dead.
func (h *heartbeat) owns(began time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.wrote) < h.dead && !h.silent.After(began) {
		return nil
	}
	return errTakenOver
}

// owned is the voucher of an attempt. Reading it fails once the attempt may be another worker's: a
// worker that was frozen before it had sent all does not send the rest.
type owned struct {
	io.ReadCloser

	heart *heartbeat
	began time.Time
}

// Read reads on, if the attempt is still this worker's.
func (o owned) Read(p []byte) (int, error) {
	if err := o.heart.owns(o.began); err != nil {
		return 0, err
	}
	return o.ReadCloser.Read(p)
}

// unchanged takes in the signs of life that an answer brought, and gives those that had not changed
// for the limit when it was asked for.
func unchanged[T comparable](known map[string]sighting[T], seen map[string]T, asked, answered time.Time, limit time.Duration) map[string]T {
	for name := range known {
		if _, ok := seen[name]; !ok {
			delete(known, name)
		}
	}
	silent := map[string]T{}
	for name, sign := range seen {
		was, ok := known[name]
		switch {
		case !ok || was.sign != sign:
			known[name] = sighting[T]{sign, answered}
		case asked.Sub(was.since) >= limit:
			silent[name] = sign
		}
	}
	return silent
}
