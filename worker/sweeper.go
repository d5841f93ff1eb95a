package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// sweeper takes vouchers that are no longer needed out of the blob store, and notes there what came
// of them, behind the back of the deliveries: they need not wait for it. What it cannot take out, or
// forgets when the worker ends, the reconciler takes out. A note that the store does not take is
// tried again as long as the worker lives.
type sweeper struct {
	account string
	ledger  *ledger.Ledger
	store   blob.Store
	log     *zap.Logger
	limit   time.Duration // for one round
	queue   chan swept
	failed  []swept         // whose notes the store did not take
	ctx     context.Context //nolint:containedctx // ends when the worker gives up on the rest
	giveUp  context.CancelFunc
	closing chan struct{}
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
	sweeperPause = 10 * time.Second // before failed notes are tried again
	sweeperGrace = 5 * time.Second  // for what is left when the worker ends
)

func newSweeper(account string, cfg Config, log *zap.Logger) *sweeper {
	s := &sweeper{
		account: account, ledger: cfg.Ledger, store: cfg.Store, log: log, limit: cfg.Settings.CallTimeout,
		queue: make(chan swept, sweeperQueue), closing: make(chan struct{}), done: make(chan struct{}),
	}
	s.ctx, s.giveUp = context.WithCancel(context.Background())
	return s
}

// add hands over a voucher; also while the sweeper closes, and after.
func (s *sweeper) add(v swept) {
	select {
	case s.queue <- v:
	default:
	}
}

// run works until the sweeper closes, and then on what is left.
func (s *sweeper) run() {
	defer close(s.done)
	var again <-chan time.Time
	for {
		select {
		case v := <-s.queue:
			s.round(s.more([]swept{v}))
		case <-again:
			again = nil
			failed := s.failed
			s.failed = nil
			for batch := range slices.Chunk(failed, sweeperBatch) {
				s.round(batch)
			}
		case <-s.closing:
			for batch := s.more(nil); len(batch) > 0 && s.ctx.Err() == nil; batch = s.more(nil) {
				s.round(batch)
			}
			return
		}
		if len(s.failed) > 0 && again == nil {
			again = time.After(sweeperPause)
		}
	}
}

// more fills a batch with what waits.
func (s *sweeper) more(batch []swept) []swept {
	for len(batch) < sweeperBatch {
		select {
		case v := <-s.queue:
			batch = append(batch, v)
		default:
			return batch
		}
	}
	return batch
}

func (s *sweeper) round(batch []swept) {
	ctx, cancel := context.WithTimeout(s.ctx, s.limit)
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
			if !errors.Is(err, blob.ErrMissing) && len(s.failed) < sweeperQueue {
				s.failed = append(s.failed, v)
			}
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

// close lets the sweeper end what waits, as far as it can soon, and waits for it.
func (s *sweeper) close() {
	close(s.closing)
	late := time.AfterFunc(sweeperGrace, s.giveUp)
	defer late.Stop()
	<-s.done
	s.giveUp()
}
