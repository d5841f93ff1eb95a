package tasks_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
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

// cutter is a hook that loses the replies of scripts, after some whose replies arrive.
type cutter struct {
	spared, left int
	meanwhile    func() // happens before a reply is lost; nil: nothing
}

func (c *cutter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return c.lose(next(ctx, cmd), cmd)
	}
}

func (c *cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return c.lose(next(ctx, cmds), cmds...) }
}

// lose makes an error of what went well, if a script is among the commands and it is its turn.
func (c *cutter) lose(err error, cmds ...redis.Cmder) error {
	if err != nil || !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return strings.HasPrefix(cmd.Name(), "eval") }) {
		return err
	}
	if c.spared--; c.spared >= 0 || c.left == 0 {
		return nil
	}
	c.left--
	if c.meanwhile != nil {
		c.meanwhile()
	}
	err = &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
	return err
}

// TestDeliveredBeforeRedisForgot has a worker deliver an upload before its producer knows that it is
// recorded, and Redis forget all of it: the producer, who tries again, finds its voucher gone, and
// is told that it is accepted, for the blob store knows what came of it.
func TestDeliveredBeforeRedisForgot(t *testing.T) {
	t.Parallel()
	for name, retired := range map[string]bool{"delivered": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Options{})
			store, err := blob.OpenDir(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			ctx, admin := t.Context(), s.Client()
			var id string
			rdb := s.Client()
			rdb.AddHook(&cutter{spared: 1, left: 1, meanwhile: func() {
				all, away := ledger.New(admin, ledger.Settings{}).List(ctx, ledger.Query{Account: tasks.DefaultAccount})
				if away != nil || len(all.Uploads) != 1 {
					t.Errorf("%+v, %v", all, away)
					return
				}
				if id = all.Uploads[0].ID; retired {
					away = store.Retire(ctx, blob.Retired{Key: all.Uploads[0].StoreKey})
				} else {
					away = store.Delete(ctx, all.Uploads[0].StoreKey)
				}
				if away = errors.Join(away, admin.FlushDB(ctx).Err()); away != nil {
					t.Error(away)
				}
			}})
			c := tasks.New(tasks.Config{Redis: rdb, Store: store, Patience: time.Minute})
			u, err := c.Enqueue(ctx, tasks.Request{OrderID: "1", Voucher: pdf("x")})
			if retired && (err != nil || u.ID != id) || !retired && !errors.Is(err, blob.ErrMissing) {
				t.Errorf("%+v, %v", u, err)
			}
		})
	}
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
	if _, err = calm.Enqueue(t.Context(), tasks.Request{OrderID: "1", Voucher: pdf("x")}); err != nil {
		t.Fatal(err)
	}
	if n := replicas[0].Client().Exists(t.Context(), "voucherd:accounts").Val(); n != 1 {
		t.Errorf("the replica has %d", n)
	}
	replicas[1].Kill()
	following(1)
	var few *ledger.ReplicasError
	redistest.Eventually(t, 30*time.Second, "the replica that is left has it", func() bool {
		_, err = hasty.Enqueue(t.Context(), tasks.Request{OrderID: "2", Voucher: pdf("y")})
		return errors.As(err, &few) && few.Have == 1
	})
	if few.Want != 2 || !strings.Contains(err.Error(), "is recorded; only 1 of the 2 replicas") {
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
