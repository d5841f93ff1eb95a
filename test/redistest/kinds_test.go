package redistest_test

import (
	"testing"

	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

// TestSentinelFailsOver lets the sentinels choose another master, once asked and once after a kill.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s := redistest.Sentinel(t, 2)
	for _, away := range []func(*process.Redis) error{nil, func(m *process.Redis) error { m.Kill(); return nil }} {
		if err := s.FailOver(t.Context(), away); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClusterMovesASlot moves a slot with its keys, and fails its new owner over.
func TestClusterMovesASlot(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	rdb := c.Client()
	t.Cleanup(func() { _ = rdb.Close() })
	if err := rdb.Set(t.Context(), "{a}1", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	was, _, _, err := c.MasterOf(t.Context(), "{a}")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Migrate(t.Context(), "{a}")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := m.Finish(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d keys, %v", n, err)
	}
	if now, _, _, err := c.MasterOf(t.Context(), "{a}"); err != nil || now == was {
		t.Fatalf("%v has the slot, %v", now, err)
	}
	if _, err := c.FailOver(t.Context(), "{a}"); err != nil {
		t.Fatal(err)
	}
	if v, err := rdb.Get(t.Context(), "{a}1").Result(); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
}
