package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// stopAt stands between a command and Redis, and calls stop when the command is about to send text
// to Redis for the n-th time. It gives the URL to take.
func stopAt(t *testing.T, text string, n int, stop func()) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	seen := &counter{left: n, stop: stop}
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", redisAddress())
			if err != nil {
				t.Error(err)
				_ = client.Close()
				return
			}
			all.Go(func() {
				_, _ = io.Copy(server, io.TeeReader(client, &watch{text: []byte(text), counter: seen}))
				_ = server.Close()
			})
			all.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		}
	})
	return "redis://" + listener.Addr().String()
}

func redisAddress() string {
	return strings.TrimSuffix(strings.TrimPrefix(redistest.URL(), "redis://"), "/0")
}

// watch counts how often a text comes by on one connection.
type watch struct {
	text, tail []byte
	counter    *counter
}

func (w *watch) Write(p []byte) (int, error) {
	w.tail = append(w.tail, p...)
	w.counter.add(bytes.Count(w.tail, w.text))
	if i := bytes.LastIndex(w.tail, w.text); i >= 0 {
		w.tail = w.tail[i+len(w.text):]
	}
	w.tail = bytes.Clone(w.tail[max(0, len(w.tail)-len(w.text)+1):])
	return len(p), nil
}

// counter counts down over all connections.
type counter struct {
	mu   sync.Mutex
	left int
	stop func()
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left -= n; n > 0 && c.left <= 0 {
		c.stop()
	}
}

func TestStoppingBeforeTheRecordEnqueuesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	ctx, cancel := context.WithCancel(t.Context())
	o := start(ctx, strings.NewReader(""), b.env, "enqueue", "--order", order, "--redis", stopAt(t, ":store", 1, cancel), file)
	b.want(o, 130, "stopped: nothing was enqueued")
	b.must(3, "show", order)
}

func TestStoppingAfterTheRecordFinishesIt(t *testing.T) {
	t.Parallel()
	for _, more := range [][]string{nil, {"--json"}, {"--wait"}} {
		t.Run(strings.Join(more, ""), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			order, file := b.picture(1)
			ctx, cancel := context.WithCancel(t.Context())
			url := stopAt(t, tasks.TypeUpload, 1, cancel) // the step that records it and puts its task
			args := append([]string{"enqueue", "--order", order, "--redis", url}, more...)
			o := start(ctx, strings.NewReader(""), b.env, append(args, file)...)
			b.want(o, 130, "goes on in the background", "voucherd show "+b.account+"-")
			u := upload(t, b.must(0, "show", "--json", order).stdout)
			if !strings.Contains(o.stdout, u.ID) || u.State != ledger.Queued {
				t.Errorf("printed %q, and the upload is %+v", o.stdout, u)
			}
			b.hasTask(u)
		})
	}
}

// hasTask checks that an upload's task is on the queue.
func (b *bench) hasTask(u ledger.Upload) {
	b.t.Helper()
	key := "asynq:{" + ledger.Queue(b.account) + "}:t:" + ledger.TaskID(u.ID, u.Generation)
	if n, err := redistest.Client(b.t).Exists(b.t.Context(), key).Result(); err != nil || n != 1 {
		b.t.Errorf("%s has no task (%v)", u.ID, err)
	}
}

func TestStoppingAManifestFinishesWhatItRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var list strings.Builder
	list.WriteString("order,file\n")
	const vouchers = 60
	for n := range vouchers {
		order, file := b.picture(n)
		fmt.Fprintf(&list, "%s,%s\n", order, filepath.Base(file))
	}
	manifest := b.file("list.csv", []byte(list.String()))
	ctx, cancel := context.WithCancel(t.Context())
	o := start(ctx, strings.NewReader(""), b.env, "enqueue", "--manifest", manifest, "--json",
		"--redis", stopAt(t, tasks.TypeUpload, 5, cancel))
	b.want(o, 130, "accepted", ", 0 failed,", "Run it again")
	accepted, untried := strings.Count(o.stdout, `"result":"accepted"`), strings.Count(o.stdout, `"result":"untried"`)
	recorded := lines(b.must(0, "list", "--account", b.account, "--json").stdout)
	if accepted < 5 || accepted+untried != vouchers || untried == 0 || len(recorded) != accepted {
		t.Errorf("%d accepted, %d not tried, %d recorded:\n%s", accepted, untried, len(recorded), o.stdout)
	}
	for _, line := range recorded {
		b.hasTask(upload(t, line))
	}
}

func TestStoppingARetryCountsWhatWasDone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, stop := b.worker()
	orders := b.rejected(4)
	stop()
	b.must(0, "retry", orders[0]) // Redis knows the scripts from here on: each is sent once
	ctx, cancel := context.WithCancel(t.Context())
	o := start(ctx, strings.NewReader(""), b.env, "retry", "--state", "rejected", "--account", b.account,
		"--redis", stopAt(t, "asynq:{vouchers-"+b.account+"}:pending", 2, cancel))
	b.want(o, 130, "Stopped: 2 of 3 uploads were put back to be sent.")
	if queued := lines(b.must(0, "list", "--state", "queued", "--json").stdout); len(queued) != 3 {
		t.Errorf("%d are queued", len(queued))
	}
}
