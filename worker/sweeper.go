package worker

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/vault"
)

// sweeper takes vouchers that are no longer needed out of the vault, behind the back of the deliveries: they need not
// wait for it. What it cannot take, or forgets when the worker ends, the reconciler takes.
type sweeper struct {
	lane   string
	ledger *ledger.Ledger
	vault  vault.Vault
	log    *zap.Logger
	limit  time.Duration // for one round
	queue  chan swept
	done   chan struct{}
}

// swept is one voucher: of a delivered upload, or of a dead one, whose state is noted beside it.
type swept struct {
	kept ledger.Kept
	dead ledger.State
}

const (
	sweeperQueue = 8192 // more than this the reconciler takes
	sweeperBatch = 64
)

func newSweeper(l *lane) *sweeper {
	return &sweeper{
		lane: l.name, ledger: l.ledger, vault: l.vault, log: l.log, limit: l.set.CallTimeout,
		queue: make(chan swept, sweeperQueue), done: make(chan struct{}),
	}
}

// sent hands over the voucher of a delivered upload.
func (s *sweeper) sent(k ledger.Kept) { s.add(swept{kept: k}) }

// dead has the vault note that a voucher's upload ended undelivered.
func (s *sweeper) dead(vaultKey string, state ledger.State) {
	s.add(swept{kept: ledger.Kept{VaultKey: vaultKey}, dead: state})
}

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
	var keys []string
	for _, v := range batch {
		if v.kept.VaultKey == "" {
			continue
		}
		if v.dead != "" {
			if err := s.vault.Note(ctx, v.kept.VaultKey, string(v.dead)); err != nil {
				s.log.Warn("vault.unreachable", zap.Error(err))
			}
			continue
		}
		if s.ledger.Settings().KeepSent > 0 {
			continue // it leaves later, with the reconciler
		}
		gone = append(gone, v.kept)
		keys = append(keys, v.kept.VaultKey)
	}
	if len(gone) == 0 {
		return
	}
	if err := s.vault.Delete(ctx, keys...); err != nil {
		s.log.Warn("vault.unreachable", zap.Error(err))
		return
	}
	if err := s.ledger.Left(ctx, s.lane, gone); err != nil {
		s.log.Warn("ledger.unreachable", zap.Error(err))
	}
}

// close ends the work and waits for it.
func (s *sweeper) close() {
	close(s.queue)
	<-s.done
}
