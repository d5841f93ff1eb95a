package main

import (
	"flag"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// vouchers is how many the tests push through.
//
//nolint:gochecknoglobals // flags of a test binary are
var vouchers = flag.Int("vouchers", 400, "vouchers of each failover test")

// warnings shows what the workers warn of when a test fails.
func warnings(t *testing.T) *zap.Logger {
	t.Helper()
	return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
}

// TestFailoverLosesNothing fails over in each way while vouchers come in and go out. Every replica
// must have what is accepted: a master goes on for a while after the sentinels have chosen one of
// them.
func TestFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	for name, ways := range map[string][]string{
		"Sentinel": {sentinelAsked, sentinelKill}, "Cluster": {clusterMove, clusterKill},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := trial{Ways: ways, Fsync: "always", Wait: true, Store: storeRedis, Vouchers: *vouchers, Log: warnings(t)}.run(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", f)
			if f.Accepted != *vouchers || f.Forgotten+f.Lost+f.Rejected+f.Unknown != 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestRebuildFindsWhatRedisForgot has no replica wait, and vouchers in files.
func TestRebuildFindsWhatRedisForgot(t *testing.T) {
	t.Parallel()
	f, err := trial{Ways: []string{sentinelCut}, Fsync: "everysec", Store: storeFile, Vouchers: *vouchers, Log: warnings(t)}.run(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f)
	if f.Lost+f.Rejected != 0 || f.Forgotten != f.Restored {
		t.Errorf("%+v", f)
	}
}
