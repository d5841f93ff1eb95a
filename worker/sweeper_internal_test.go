package worker

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// faultyStore is a blob store that is told how to fail.
type faultyStore struct {
	blob.Store

	note  func(ctx context.Context) error
	noted error
}

func (s *faultyStore) Note(ctx context.Context, _ string, _ blob.Note) error { return s.note(ctx) }

func (s *faultyStore) Noted(context.Context, string) (blob.Stored, error) {
	return blob.Stored{}, s.noted
}

func (*faultyStore) Open(context.Context, blob.Entry) (io.ReadCloser, error) {
	return nil, blob.ErrMissing
}

func newTestSweeper(note func(ctx context.Context) error) *sweeper {
	cfg := Config{Store: &faultyStore{note: note}, Settings: Settings{CallTimeout: time.Minute}}
	return newSweeper("default", cfg, zap.NewNop())
}

var rejected = swept{id: "default-a", storeKey: "a", state: ledger.Rejected} //nolint:gochecknoglobals // a constant

// TestSweeperTriesNotesAgain holds that a note is not lost because the store was away: without it a
// rebuild would send again what was rejected.
func TestSweeperTriesNotesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries, noted := 0, make(chan struct{})
		s := newTestSweeper(func(context.Context) error {
			if tries++; tries < 3 {
				return errors.New("away")
			}
			close(noted)
			return nil
		})
		go s.run()
		s.add(rejected)
		<-noted
		s.close()
		if tries != 3 {
			t.Errorf("%d tries, want 3", tries)
		}
	})
}

// TestSweeperClosesSoon holds that a store that does not answer holds up no worker that ends.
func TestSweeperClosesSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTestSweeper(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		go s.run()
		for range 3 * sweeperBatch {
			s.add(rejected)
		}
		synctest.Wait()
		began := time.Now()
		s.close()
		if took := time.Since(began); took > sweeperGrace {
			t.Errorf("closing took %v", took)
		}
	})
}

// TestSweeperIsGivenMoreWhileItCloses holds that an outcome which is recorded late ends no process.
func TestSweeperIsGivenMoreWhileItCloses(t *testing.T) {
	t.Parallel()
	s := newTestSweeper(func(context.Context) error { return nil })
	go s.run()
	s.close()
	s.add(rejected)
}

// TestAStoreThatCannotTellRejectsNothing holds that a voucher which is missing counts as missing only
// where the store can tell that it was not delivered.
func TestAStoreThatCannotTellRejectsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		noted   error
		missing bool
	}{{blob.ErrMissing, true}, {blob.ErrDamaged, true}, {errors.New("input/output error"), false}} {
		v := vouchers{store: &faultyStore{noted: c.noted}, ledger: ledger.New(nil, ledger.Settings{})}
		if _, err := v.open(t.Context(), ledger.Running{StoreKey: "a"}); errors.Is(err, blob.ErrMissing) != c.missing {
			t.Errorf("the store says %q: %v", c.noted, err)
		}
	}
}
