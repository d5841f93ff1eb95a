package doctor_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/doctor"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func examine(t *testing.T, o redistest.Options, lost ...string) map[string]doctor.Finding {
	t.Helper()
	rdb := redistest.Start(t, o).Client()
	v := blob.NewRedis(rdb)
	client := tasks.New(tasks.Config{Redis: rdb, Store: v})
	_, err := client.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: strings.NewReader("%PDF-1.4 receipt")})
	if err != nil && !strings.Contains(err.Error(), "no room") {
		t.Fatal(err)
	}
	for _, key := range lost {
		if err := rdb.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
	}
	by := map[string]doctor.Finding{}
	for _, f := range doctor.Examine(t.Context(), doctor.Installation{Redis: rdb, Store: v, Tasks: client}) {
		by[f.What] = f
		if f.Grade != doctor.OK && f.Advice == "" {
			t.Errorf("%s is %s without advice", f.What, f.Grade)
		}
	}
	return by
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	by := examine(t, redistest.Options{AOF: true, MaxMemory: "100mb"})
	for _, what := range []string{"redis version", "redis persistence", "redis memory", "clock", "store", "account default", "account default indexes"} {
		if by[what].Grade != doctor.OK {
			t.Errorf("%s: %+v", what, by[what])
		}
	}
	if f := by["account default workers"]; f.Grade != doctor.Fail || !strings.Contains(f.Found, "no worker and no setting knows account default") {
		t.Errorf("an upload waits and nobody works, but: %+v", by["account default workers"])
	}
}

func TestSick(t *testing.T) {
	t.Parallel()
	by := examine(t, redistest.Options{Args: []string{"--maxmemory", "1mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes", "--appendfsync", "no"}})
	for what, grade := range map[string]doctor.Grade{
		"redis persistence": doctor.Warn, "redis eviction": doctor.Fail, "redis memory": doctor.Fail,
	} {
		if by[what].Grade != grade {
			t.Errorf("%s: %+v, want %s", what, by[what], grade)
		}
	}
	by = examine(t, redistest.Options{Args: []string{"--maxmemory-policy", "allkeys-lru", "--rename-command", "CONFIG", ""}})
	for _, what := range []string{"redis persistence", "redis eviction"} {
		if by[what].Grade != doctor.Fail {
			t.Errorf("without AOF, and settings that cannot be asked for: %s: %+v", what, by[what])
		}
	}
}

func TestLostKeys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, says string
	}{
		"states": {"voucherd:{vouchers-default}:s:queued", "keys were lost"},
		"tasks":  {"asynq:{vouchers-default}:pending", "tasks are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := examine(t, redistest.Options{}, c.key)["account default indexes"]
			if f.Grade != doctor.Warn || !strings.Contains(f.Found, c.says) || !strings.Contains(f.Advice, "voucherd rebuild") {
				t.Errorf("%+v, want that %s", f, c.says)
			}
		})
	}
}

func TestAway(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	rdb := s.Client()
	s.Kill()
	v := blob.NewRedis(rdb)
	found := doctor.Examine(t.Context(), doctor.Installation{Redis: rdb, Store: v, Tasks: tasks.New(tasks.Config{Redis: rdb, Store: v})})
	if len(found) != 1 || found[0].Grade != doctor.Fail || found[0].What != "redis" ||
		found[0].Found != "redis at "+s.Addr+" could not be reached: connection refused" {
		t.Errorf("found %+v", found)
	}
}

func TestEveryReasonHasItsAdvice(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, r := range ledger.Reasons() {
		a := doctor.Advice(r)
		if other, ok := seen[a]; ok || a == doctor.Advice("") {
			t.Errorf("%s has no advice of its own (%s)", r, other)
		}
		seen[a] = r
	}
}

// TestClusters looks at a cluster that serves no slot yet, at one that is well, and at one that has
// lost its replicas.
func TestClusters(t *testing.T) {
	t.Parallel()
	look := func(t *testing.T, rdb redis.UniversalClient, acks int) map[string]doctor.Finding {
		t.Helper()
		by := map[string]doctor.Finding{}
		v := blob.NewRedis(rdb)
		client := tasks.New(tasks.Config{Redis: rdb, Store: v})
		for _, f := range doctor.Examine(t.Context(), doctor.Installation{Redis: rdb, Store: v, Tasks: client, ReplicasAck: acks}) {
			if f.Grade != doctor.OK || by[f.What].What == "" {
				by[f.What] = f
			}
		}
		return by
	}
	t.Run("fresh", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t, redistest.Options{Args: []string{"--cluster-enabled", "yes"}})
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
		t.Cleanup(func() { _ = rdb.Close() })
		by := look(t, rdb, 0)
		if f := by["redis cluster"]; len(by) != 1 || f.Grade != doctor.Fail || !strings.Contains(f.Found, "its nodes do not form a cluster") {
			t.Errorf("found %+v", by)
		}
		if err := s.Client().ClusterAddSlotsRange(t.Context(), 0, 99).Err(); err != nil {
			t.Fatal(err)
		}
		again := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
		t.Cleanup(func() { _ = again.Close() })
		by = look(t, again, 0)
		if f := by["redis cluster"]; len(by) != 1 || f.Grade != doctor.Fail || !strings.Contains(f.Found, "state fail, 100 of 16384 slots are served") {
			t.Errorf("found %+v", by)
		}
	})
	t.Run("formed", func(t *testing.T) {
		t.Parallel()
		c := redistest.Cluster(t)
		rdb := c.Client()
		t.Cleanup(func() { _ = rdb.Close() })
		var by map[string]doctor.Finding
		err := process.Until(t.Context(), 30*time.Second, "all is well", func() bool { // nodes learn of each other in time
			by = look(t, rdb, 1)
			return by["redis cluster"].Grade == doctor.OK && by["redis replicas"].Found == "1 follow, 1 must have an upload" &&
				by["redis replicas"].Grade == doctor.OK && by["redis version"].Grade == doctor.OK && by["redis role"].What == "" &&
				by["store"].Grade == doctor.OK
		})
		if err != nil {
			t.Errorf("found %+v, %v", by, err)
		}
		var master, replica *process.Redis
		err = process.Until(t.Context(), 30*time.Second, "a replica is announced", func() (so bool) {
			var away error
			master, replica, _, away = c.MasterOf(t.Context(), "any")
			return away == nil && replica != nil
		})
		if err != nil {
			t.Fatal(err)
		}
		replica.Kill()
		var f doctor.Finding
		err = process.Until(t.Context(), 30*time.Second, "the loss is seen", func() bool {
			f = look(t, rdb, 1)["redis replicas"]
			return f.Grade == doctor.Fail
		})
		if err != nil || !strings.HasPrefix(f.Found, master.Addr+": 0 follow") {
			t.Errorf("%+v, %v", f, err)
		}
	})
}
