package tasks_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// patient gives a producer on a Redis, and its client.
func patient(t *testing.T, url string, patience time.Duration, replicas int) (*tasks.Client, redis.UniversalClient) {
	t.Helper()
	rdb, err := redisconn.Open(url, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return tasks.New(tasks.Config{
		Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost, Patience: patience, ReplicasAck: replicas,
	}), rdb
}

// TestProducersWaitOutARestart has vouchers of every size come in while Redis is away for a while.
func TestProducersWaitOutARestart(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		voucher io.Reader
		want    bool
	}{
		"small":               {pdf("x"), true},
		"small, read once":    {io.MultiReader(pdf("x")), true},
		"in chunks":           {pdf(strings.Repeat("x", 2*ledger.InlineMost)), true},
		"in chunks, and fell": {io.MultiReader(pdf(strings.Repeat("x", 2*ledger.InlineMost))), true}, // nothing of it was read yet
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Options{AOF: true})
			c, _ := patient(t, s.URL(), time.Minute, 0)
			s.Kill()
			got := make(chan error, 1)
			go func() {
				u, err := c.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: v.voucher})
				if err == nil && u.Duplicate {
					err = errors.New("it is taken for a duplicate of itself")
				}
				got <- err
			}()
			select {
			case err := <-got:
				t.Fatalf("it did not wait: %v", err)
			case <-time.After(300 * time.Millisecond):
			}
			s.Restart()
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// cutter is a hook that loses the reply of the first script that is not the producer's first
// command.
type cutter struct{ left int }

func (c *cutter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if name := cmd.Name(); err == nil && strings.HasPrefix(name, "eval") && c.left > 0 {
			c.left--
			err = &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			cmd.SetErr(err)
		}
		return err
	}
}

func (c *cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestALostReplyIsNoDuplicate has Redis record an upload and not tell: the next try finds it, and
// it is this producer's own.
func TestALostReplyIsNoDuplicate(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	for name, content := range map[string]string{"small": "x", "in chunks": strings.Repeat("x", 2*ledger.InlineMost)} {
		rdb := s.Client()
		rdb.AddHook(&cutter{left: 1})
		c := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost, Patience: time.Minute})
		u, err := c.Enqueue(t.Context(), tasks.Request{OrderID: name[:2], Voucher: pdf(content)})
		if err != nil || u.Duplicate || u.State != ledger.Queued {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	s.Kill()
	c, _ := patient(t, s.URL(), 300*time.Millisecond, 0)
	_, err := c.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: pdf("x")})
	if _, away := errors.AsType[*tasks.UnreachableError](err); !away {
		t.Errorf("error %v", err)
	}
	c, _ = patient(t, s.URL(), time.Hour, 0)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if _, err = c.Enqueue(ctx, tasks.Request{OrderID: "1", Voucher: pdf("x")}); !errors.Is(err, tasks.ErrNotEnqueued) {
		t.Errorf("error %v, want that nothing was enqueued", err)
	}
}

// TestReplicasMustHaveIt asks for two replicas, of which one is away for a while.
func TestReplicasMustHaveIt(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t, redistest.Options{})
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	var replicas []*redistest.Server
	for range 2 {
		replicas = append(replicas, redistest.Start(t, redistest.Options{Args: []string{"--replicaof", host, port}}))
	}
	following := func(n int) {
		t.Helper()
		rdb := master.Client()
		redistest.Eventually(t, 30*time.Second, "replicas follow", func() bool {
			return strings.Count(rdb.Info(t.Context(), "replication").Val(), "state=online") == n
		})
	}
	following(2)
	hasty, _ := patient(t, master.URL(), 0, 2)
	calm, _ := patient(t, master.URL(), time.Minute, 2)
	if _, err = hasty.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: pdf("x")}); err != nil {
		t.Fatal(err)
	}
	if n := replicas[0].Client().Exists(t.Context(), "voucherd:accounts").Val(); n != 1 {
		t.Errorf("the replica has %d", n)
	}
	replicas[1].Kill()
	following(1)
	_, err = hasty.Enqueue(t.Context(), tasks.Request{OrderID: "2", Voucher: pdf("y")})
	var few *ledger.ReplicasError
	if !errors.As(err, &few) || few.Have != 1 || few.Want != 2 || !strings.Contains(err.Error(), "is recorded; only 1 of the 2 replicas") {
		t.Errorf("error %v", err)
	}
	got := make(chan error, 1)
	go func() {
		u, err := calm.Enqueue(t.Context(), tasks.Request{OrderID: "2", Voucher: pdf("y")})
		if err == nil && !u.Duplicate {
			err = errors.New("what was recorded is not known")
		}
		got <- err
	}()
	replicas[1].Restart()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
