package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// Eventually waits until something is so, and fails the test when it is not in time.
func Eventually(tb testing.TB, within time.Duration, what string, so func() bool) {
	tb.Helper()
	if err := process.Until(tb.Context(), within, what, so); err != nil {
		tb.Fatal(err)
	}
}

// Sentinel starts a master with replicas under three sentinels, for this test alone.
func Sentinel(tb testing.TB, replicas int, args ...string) *process.Sentinel {
	tb.Helper()
	s, err := process.StartSentinel(context.Background(), process.RedisOptions{Dir: tb.TempDir(), Args: args}, replicas)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	tb.Cleanup(s.Kill)
	return s
}

// Cluster starts three masters with a replica each, for this test alone.
func Cluster(tb testing.TB, args ...string) *process.Cluster {
	tb.Helper()
	const masters = 3
	c, err := process.StartCluster(context.Background(), process.RedisOptions{Dir: tb.TempDir(), Args: args}, masters)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	tb.Cleanup(c.Kill)
	return c
}
