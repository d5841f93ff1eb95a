package redistest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	if os.Getenv("REDISTEST_NO_MAIN") != "" {
		os.Exit(m.Run())
	}
	os.Exit(redistest.Main(m))
}

func TestSharedServerAnswers(t *testing.T) {
	t.Parallel()
	rdb, account := redistest.Client(t), redistest.Account(t)
	if err := rdb.Set(t.Context(), account, "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	opt, err := redis.ParseURL(redistest.URL())
	if err != nil {
		t.Fatal(err)
	}
	byURL := redis.NewClient(opt)
	defer func() { _ = byURL.Close() }()
	if got, err := byURL.Get(t.Context(), account).Result(); err != nil || got != "v" {
		t.Fatalf("through URL(): %q, %v", got, err)
	}
}

func TestAccountNamesAreValidAndDiffer(t *testing.T) {
	t.Parallel()
	valid := regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	seen := map[string]bool{}
	t.Run("Ünusual / name, which is far too long for an account", func(t *testing.T) {
		t.Parallel()
		for range 100 {
			account := redistest.Account(t)
			if !valid.MatchString(account) || seen[account] {
				t.Fatalf("account %q: not valid, or seen before", account)
			}
			seen[account] = true
		}
	})
}

func TestAOFSurvivesKill(t *testing.T) {
	t.Parallel()
	for _, aof := range []bool{true, false} {
		t.Run(fmt.Sprintf("aof=%v", aof), func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Options{AOF: aof})
			rdb := s.Client()
			if err := rdb.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			s.Kill()
			if err := rdb.Ping(t.Context()).Err(); err == nil {
				t.Fatal("a killed server answered")
			}
			s.Kill()
			s.Restart()
			n, err := rdb.Exists(t.Context(), "k").Result()
			if err != nil || (n == 1) != aof {
				t.Fatalf("after restart: %d keys, %v", n, err)
			}
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	rdb := s.Client()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	impatient := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: 50 * time.Millisecond, MaxRetries: -1})
	defer func() { _ = impatient.Close() }()
	if err := impatient.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a paused server answered")
	}
	s.Resume()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{MaxMemory: "3mb", Password: "p@ss/word", Args: []string{"--hz", "50"}})
	rdb := s.Client()
	if hz := rdb.ConfigGet(t.Context(), "hz").Val()["hz"]; hz != "50" {
		t.Errorf("hz %q", hz)
	}
	if err := rdb.Set(t.Context(), "k", strings.Repeat("x", 4<<20), 0).Err(); err != nil && !strings.Contains(err.Error(), "OOM") {
		t.Fatal(err)
	}
	if err := rdb.Set(t.Context(), "k2", "x", 0).Err(); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("above maxmemory: %v", err)
	}
	opt, err := redis.ParseURL(s.URL())
	if err != nil || opt.Password != "p@ss/word" {
		t.Errorf("URL: %v", err)
	}
	naked := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer func() { _ = naked.Close() }()
	if err := naked.Ping(t.Context()).Err(); err == nil {
		t.Error("answered without a password")
	}
}

// self runs one test of this binary in a process of its own.
func self(ctx context.Context, test, env string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env)
	return cmd
}

// A test binary that dies by panic leaves no server behind.
func TestServerDiesWithThePanickingBinary(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := self(ctx, "TestHelperPanics", "REDISTEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	found := regexp.MustCompile(`addr=(\S+)`).FindSubmatch(out)
	if err == nil || found == nil {
		t.Fatalf("the helper did not panic as it should: %v\n%s", err, out)
	}
	gone := redis.NewClient(&redis.Options{Addr: string(found[1]), MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = gone.Close() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for gone.Ping(ctx).Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the server outlived its test binary")
		}
	}
}

func TestHelperPanics(t *testing.T) {
	t.Parallel()
	if os.Getenv("REDISTEST_PANIC") == "" {
		t.Skip("a helper for another test")
	}
	t.Logf("addr=%s", redistest.Client(t).Options().Addr)
	panic("as planned")
}

func TestMissingRedisServerIsSaidClearly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := self(ctx, "TestSharedServerAnswers", "PATH=/nowhere")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "redis-server is not on PATH") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestForgottenMainIsSaidClearly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := self(ctx, "TestSharedServerAnswers", "REDISTEST_NO_MAIN=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "redistest.Main(m)") {
		t.Fatalf("%v\n%s", err, out)
	}
}
