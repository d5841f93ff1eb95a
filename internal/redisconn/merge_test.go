package redisconn_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	os.Exit(redistest.Main(m))
}

func open(t *testing.T) redis.UniversalClient {
	t.Helper()
	rdb, err := redisconn.Open(redistest.URL(), 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// TestMergedCallsKeepTheirOwn calls a script from many sides at once: each gets its own reply, or
// its own error.
func TestMergedCallsKeepTheirOwn(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	script := redis.NewScript(`if ARGV[1] == '13' then return redis.error_reply('ERR unlucky') end return ARGV[1]`)
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for range 20 {
				got, err := script.Run(t.Context(), rdb, nil, i).Text()
				switch {
				case i == 13 && (err == nil || !strings.Contains(err.Error(), "unlucky")):
					t.Errorf("the failing call: %q, %v", got, err)
				case i != 13 && (err != nil || got != strconv.Itoa(i)):
					t.Errorf("call %d: %q, %v", i, got, err)
				}
			}
		})
	}
	callers.Wait()
}

// TestCallerMayLeave ends one caller's context while Redis is busy with its call.
func TestCallerMayLeave(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	rdb, err := redisconn.Open(server.URL(), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	script := redis.NewScript(`return ARGV[1]`)
	if err := script.Run(t.Context(), rdb, nil, "load").Err(); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- script.Run(ctx, rdb, nil, "left").Err() }()
	stayed := make(chan error, 1)
	go func() { stayed <- script.Run(t.Context(), rdb, nil, "stayed").Err() }()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who left got %v", err)
	}
	server.Resume()
	if err := <-stayed; err != nil {
		t.Errorf("the caller who stayed got %v", err)
	}
}

// TestMergedCallsOfARedisThatIsAway tells each caller.
func TestMergedCallsOfARedisThatIsAway(t *testing.T) {
	t.Parallel()
	rdb, err := redisconn.Open("redis://127.0.0.1:1", 4)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	script := redis.NewScript(`return 1`)
	var callers sync.WaitGroup
	for i := range 30 {
		callers.Go(func() {
			err := script.Run(t.Context(), rdb, nil).Err()
			if _, ok := errors.AsType[net.Error](err); !ok {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	callers.Wait()
}

// TestMergedPipelinesKeepTheirOwn sends pipelines from many sides at once: each keeps its order and
// gets its own replies and errors.
func TestMergedPipelinesKeepTheirOwn(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	script := redis.NewScript(`if ARGV[1] == '13' then return redis.error_reply('ERR unlucky') end return {ARGV[1], redis.call('INCR', KEYS[1])}`)
	if err := script.Load(t.Context(), rdb).Err(); err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i := range 32 {
		callers.Go(func() {
			key := rand.Text()
			for n := range int64(20) {
				pipe := rdb.Pipeline()
				first := script.EvalSha(t.Context(), pipe, []string{key}, i)
				message := pipe.Do(t.Context(), "publish", key, "")
				second := script.EvalSha(t.Context(), pipe, []string{key}, i)
				_, err := pipe.Exec(t.Context())
				if got, perr := message.Int64(); perr != nil || got != 0 {
					t.Errorf("pipeline %d: the message got %d, %v", i, got, perr)
				}
				if i == 13 {
					if err == nil || first.Err() == nil || second.Err() == nil {
						t.Errorf("the failing pipeline: %v, %v, %v", err, first, second)
					}
					continue
				}
				for place, cmd := range []*redis.Cmd{first, second} {
					got, err := cmd.Slice()
					if err != nil || got[0] != strconv.Itoa(i) || got[1] != 2*n+int64(place)+1 {
						t.Errorf("pipeline %d, round %d, place %d: %v, %v", i, n, place, got, err)
					}
				}
			}
		})
	}
	callers.Wait()
}

// TestPipelinesOfOtherCommandsStay are not merged: a transaction must not be torn.
func TestPipelinesOfOtherCommandsStay(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	script := redis.NewScript(`return redis.call('INCR', KEYS[1])`)
	if err := script.Load(t.Context(), rdb).Err(); err != nil {
		t.Fatal(err)
	}
	var plain *redis.IntCmd
	key := rand.Text()
	_, err := rdb.TxPipelined(t.Context(), func(tx redis.Pipeliner) error {
		script.EvalSha(t.Context(), tx, []string{key})
		plain = tx.Incr(t.Context(), key)
		return nil
	})
	if err != nil || plain.Val() != 2 {
		t.Errorf("%v, %v", plain, err)
	}
}
