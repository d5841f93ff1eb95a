package blob_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2" //nolint:depguard // Here the demo's own Redis is meant.
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/redistest"
)

// keysOf lists an account's keys.
func keysOf(tb testing.TB, rdb *redis.Client, account string) []string {
	tb.Helper()
	keys, err := rdb.Keys(tb.Context(), "voucherd:{vouchers-"+account+"}:*").Result()
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func TestRedisRoundTrips(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]struct{ put, read int64 }{2 << 10: {1, 1}, 200 << 10: {1, 1}, 1 << 20: {5, 8}} {
		rdb, watch := redistest.Client(t), &spy{}
		rdb.AddHook(watch)
		v := blob.NewRedis(rdb)
		count := func(what string, want int64, do func() error) {
			t.Helper()
			watch.trips.Store(0)
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if got := watch.trips.Load(); got != want {
				t.Errorf("%s %d bytes: %d round trips, want %d", what, size, got, want)
			}
		}
		var e blob.Entry
		count("put", want.put, func() error { e = put(t, v, "trips", voucher(size)); return nil })
		count("claim", 1, func() error { return v.Claim(t.Context(), e.Key) })
		count("read", want.read, func() error { _, err := read(t.Context(), v, e); return err })
		count("note", 0, func() error { return v.Note(t.Context(), e.Key, blob.Note{State: "rejected"}) })
		count("delete", 1, func() error { return v.Delete(t.Context(), e.Key) })
	}
}

func TestRedisKeepsNothingButTheVoucher(t *testing.T) {
	t.Parallel()
	const most = 1500 // bytes beside the voucher's own
	rdb, account := redistest.Client(t), redistest.Account(t)
	v := blob.NewRedis(rdb)
	for size := 1; size < 2<<20; size += 1 + size/3 {
		e := put(t, v, account, voucher(size))
		if err := v.Claim(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
		keys := keysOf(t, rdb, account)
		if len(keys) != 1 {
			t.Fatalf("%d bytes: keys %q", size, keys)
		}
		used, err := rdb.MemoryUsage(t.Context(), keys[0], 0).Result()
		if err != nil || used > int64(size+most) {
			t.Errorf("%d bytes take %d more, %v", size, used-int64(size), err)
		}
		if err := v.Delete(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
	}
	if keys := keysOf(t, rdb, account); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
}

func TestRedisPutSentTwiceStoresOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, 600_000} {
		rdb, account, watch := redistest.Client(t), redistest.Account(t), &spy{}
		rdb.AddHook(watch)
		watch.twice.Store(true)
		v := blob.NewRedis(rdb)
		e := put(t, v, account, voucher(size))
		if got, err := read(t.Context(), v, e); err != nil || !bytes.Equal(got, voucher(size)) {
			t.Errorf("%d bytes: read %d bytes, %v", size, len(got), err)
		}
	}
}

func TestRedisDamage(t *testing.T) {
	t.Parallel()
	rdb, account := redistest.Client(t), redistest.Account(t)
	v := blob.NewRedis(rdb)
	for name, damage := range map[string]func(key string) error{
		"first piece changed": func(k string) error { return rdb.LSet(t.Context(), k, 0, "other").Err() },
		"last piece lost":     func(k string) error { return rdb.RPop(t.Context(), k).Err() },
		"piece added":         func(k string) error { return rdb.RPush(t.Context(), k, "x").Err() },
		"pieces swapped":      func(k string) error { return rdb.LMove(t.Context(), k, k, "LEFT", "RIGHT").Err() },
	} {
		e := put(t, v, account, voucher(900_000))
		key := "voucherd:{vouchers-" + account + "}:v:" + strings.TrimPrefix(e.Key, account+"-")
		if err := damage(key); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t.Context(), v, e); !errors.Is(err, blob.ErrDamaged) || len(got) >= 900_000 {
			t.Errorf("%s: gave %d bytes, %v", name, len(got), err)
		}
	}
}

// A Put that the sweeper overtook must not leave its tail behind, nor succeed.
func TestRedisPutDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, tail := range []int{0, 10, 400_000} {
		rdb, account := redistest.Client(t), redistest.Account(t)
		v := blob.NewRedis(rdb)
		sweep := readerFunc(func([]byte) (int, error) {
			for _, u := range unclaimed(t, v, account) {
				if u.SHA256 != "" || u.Size != 0 {
					t.Errorf("an unfinished Put is listed as finished: %+v", u)
				}
				if err := v.Delete(t.Context(), u.Key); err != nil {
					t.Error(err)
				}
			}
			return 0, io.EOF
		})
		chunks := bytes.NewReader(voucher(2 * (256<<10 - 24)))
		r := io.MultiReader(chunks, sweep, bytes.NewReader(voucher(tail)))
		if _, err := v.Put(t.Context(), blob.Meta{Account: account}, r); err == nil {
			t.Errorf("tail %d: a deleted voucher was accepted", tail)
		}
		if keys := keysOf(t, rdb, account); len(keys) != 0 {
			t.Errorf("tail %d: left %q", tail, keys)
		}
	}
}

func TestRedisUnclaimedByAge(t *testing.T) {
	t.Parallel()
	rdb, account := redistest.Client(t), redistest.Account(t)
	v := blob.NewRedis(rdb)
	young, old, older := put(t, v, account, voucher(1)), put(t, v, account, voucher(2)), put(t, v, account, voucher(3))
	index := "voucherd:{vouchers-" + account + "}:unclaimed"
	for e, age := range map[blob.Entry]time.Duration{old: 2 * time.Hour, older: week} {
		if err := rdb.ZIncrBy(t.Context(), index, -float64(age.Milliseconds()), strings.TrimPrefix(e.Key, account+"-")).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := rdb.HSet(t.Context(), index+":meta", strings.TrimPrefix(old.Key, account+"-"), "{torn").Err(); err != nil {
		t.Fatal(err)
	}
	found, err := v.Unclaimed(t.Context(), account, time.Hour, 10)
	if err != nil || len(found) != 2 || found[0].Entry != older || found[1].Entry != (blob.Entry{Key: old.Key}) {
		t.Fatalf("%+v, %v (young is %s)", found, err, young.Key)
	}
	if age := found[1].Age; age < 2*time.Hour || age > 3*time.Hour {
		t.Errorf("age %v", age)
	}
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{AOF: true})
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	v := blob.NewRedis(rdb)
	e := put(t, v, "default", voucher(900_000))
	r, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	_, err = io.ReadAll(r)
	mustBeAway(t, "read on", err)
	if err = r.Close(); err != nil {
		t.Error(err)
	}
	_, err = v.Put(t.Context(), blob.Meta{Account: "default"}, strings.NewReader("x"))
	mustBeAway(t, "put", err)
	_, err = v.Open(t.Context(), e)
	mustBeAway(t, "open", err)
	_, err = v.Unclaimed(t.Context(), "default", 0, 1)
	mustBeAway(t, "unclaimed", err)
	mustBeAway(t, "claim", v.Claim(t.Context(), e.Key))
	mustBeAway(t, "delete", v.Delete(t.Context(), e.Key))
	mustBeAway(t, "check", v.Check(t.Context()))
	server.Restart()
	// The client refuses to dial for up to a second after it failed to.
	until(t, "read after the restart", func() bool {
		got, err := read(t.Context(), v, e)
		return err == nil && len(got) == 900_000
	})
}

// The end of a connection is not the end of a voucher.
func TestRedisConnectionCut(t *testing.T) {
	t.Parallel()
	rdb, account, watch := redistest.Client(t), redistest.Account(t), &spy{}
	rdb.AddHook(watch)
	v := blob.NewRedis(rdb)
	e := put(t, v, account, voucher(900_000))
	r, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	watch.cut.Store(true)
	_, err = io.ReadAll(r)
	mustBeAway(t, "read on", err)
	if errors.Is(err, io.EOF) {
		t.Errorf("%v passes for the end", err)
	}
}

func TestRedisFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{MaxMemory: "4mb"})
	rdb := server.Client()
	v := blob.NewRedis(rdb)
	_, err := v.Put(t.Context(), blob.Meta{Account: "default"}, bytes.NewReader(voucher(8<<20)))
	if err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("put: %v", err)
	}
	if keys := keysOf(t, rdb, "default"); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
	e := put(t, v, "default", voucher(1000))
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	mustBeAway(t, "check", v.Check(t.Context()))
	if got, err := read(t.Context(), v, e); err != nil || len(got) != 1000 {
		t.Errorf("reading while Redis is full: %d bytes, %v", len(got), err)
	}
	if err := v.Claim(t.Context(), e.Key); err != nil {
		t.Errorf("claiming while Redis is full: %v", err)
	}
	if err := v.Delete(t.Context(), e.Key); err != nil {
		t.Errorf("deleting while Redis is full: %v", err)
	}
}

func TestRedisStoreOnTheDemosRedis(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: mini.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	v := blob.NewRedis(rdb)
	for _, size := range []int{1, 2000, 900_000} {
		e := put(t, v, "default", voucher(size))
		if found := unclaimed(t, v, "default"); len(found) != 1 || found[0].Entry != e || found[0].Age < 0 {
			t.Errorf("unclaimed: %+v", found)
		}
		if err := v.Claim(t.Context(), e.Key); err != nil {
			t.Error(err)
		}
		if got, err := read(t.Context(), v, e); err != nil || !bytes.Equal(got, voucher(size)) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if err := v.Delete(t.Context(), e.Key); err != nil {
			t.Error(err)
		}
		if _, err := v.Open(t.Context(), e); !errors.Is(err, blob.ErrMissing) {
			t.Errorf("open: %v", err)
		}
	}
	if err := v.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if keys := mini.Keys(); len(keys) != 1 { // The check's own.
		t.Errorf("left: %q", keys)
	}
}
