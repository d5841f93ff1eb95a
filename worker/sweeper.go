package worker

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// sweeper takes vouchers that are no longer needed out of the blob store, and notes there what came
// of them, behind the back of the deliveries: they need not wait for it. What it cannot take, or
// forgets when the worker ends, the reconciler takes.
type sweeper struct {
	account string
	ledger  *ledger.Ledger
	store   blob.Store
	log     *zap.Logger
	limit   time.Duration // for one round
	queue   chan swept
	done    chan struct{}
}

// swept is one voucher of an upload that has ended, and the attempt that delivered it, if one did.
type swept struct {
	id, storeKey string
	state        ledger.State
	delivery     ledger.Attempt
}

const (
	sweeperQueue = 8192 // more than this the reconciler takes
	sweeperBatch = 64
)

func newSweeper(account string, cfg Config, log *zap.Logger) *sweeper {
	return &sweeper{
		account: account, ledger: cfg.Ledger, store: cfg.Store, log: log, limit: cfg.Settings.CallTimeout,
		queue: make(chan swept, sweeperQueue), done: make(chan struct{}),
	}
}

// add hands over a voucher.
func (s *sweeper) add(v swept) {
	select {
	case s.queue <- v:
	default:
	}
}

// run works until the queue is closed, and then to its end.
func (s *sweeper) run() {
	defer close(s.done)
	for v := range s.queue {
		batch := append(make([]swept, 0, sweeperBatch), v)
		for len(batch) < sweeperBatch && len(s.queue) > 0 {
			batch = append(batch, <-s.queue)
		}
		s.round(batch)
	}
}

func (s *sweeper) round(batch []swept) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	var gone []ledger.Kept
	var retired []blob.Retired
	for _, v := range batch {
		if v.storeKey == "" {
			continue
		}
		n := blob.Note{State: string(v.state)}
		if v.state == ledger.Delivered {
			n.Result = encodeDelivery(v.delivery)
		}
		if v.state == ledger.Delivered && s.ledger.Settings().KeepSent == 0 {
			gone = append(gone, ledger.Kept{ID: v.id, StoreKey: v.storeKey})
			retired = append(retired, blob.Retired{Key: v.storeKey, Result: n.Result})
			continue
		}
		if err := s.store.Note(ctx, v.storeKey, n); err != nil {
			s.log.Warn("store.unreachable", zap.Error(err))
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := s.store.Retire(ctx, retired...); err != nil {
		s.log.Warn("store.unreachable", zap.Error(err))
		return
	}
	if err := s.ledger.Left(ctx, s.account, gone); err != nil {
		s.log.Warn("ledger.unreachable", zap.Error(err))
	}
}

// close ends the work and waits for it.
func (s *sweeper) close() {
	close(s.queue)
	<-s.done
}
