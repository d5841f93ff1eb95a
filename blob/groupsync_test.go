package blob

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Whoever asks while a sync runs is served by the next one, all by the same.
func TestGroupSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g groupSync
		var syncs atomic.Int32
		fault := errors.New("disk")
		disk := make(chan struct{}) // gives each sync its end
		fsync := func() error {
			<-disk
			if syncs.Add(1) == 2 {
				return fault
			}
			return nil
		}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				err := g.do(fsync)
				if (i > 0) != errors.Is(err, fault) {
					t.Errorf("call %d: %v", i, err)
				}
			})
			synctest.Wait() // it syncs, or waits for who does
		}
		close(disk)
		wg.Wait()
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d syncs for one call and nine during it", n)
		}
		if err := g.do(fsync); err != nil {
			t.Errorf("after a failure: %v", err)
		}
	})
}
