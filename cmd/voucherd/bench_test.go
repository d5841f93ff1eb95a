package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	main "github.com/voucherd/voucherd/cmd/voucherd"
	"github.com/voucherd/voucherd/internal/receipt"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // as main does
	if os.Getenv(asProgram) != "" {
		ctx, stop := main.UntilSignal(context.Background())
		code := main.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())
		stop()
		os.Exit(code)
	}
	os.Exit(redistest.Main(m))
}

// secret is what must be found nowhere in what the program prints.
const secret = "tell-nobody-3c91"

// limit is far beyond what anything here takes, on a busy machine too.
const limit = 2 * time.Minute

// bench is a Redis, a sandbox, and an account of a test's own.
type bench struct {
	t       *testing.T
	box     *sandbox.Sandbox
	account string
	dir     string
	env     []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	box := sandbox.New(sandbox.Config{
		Credentials: []pandapon.Credentials{{AccessKey: "key", Secret: secret, UserID: "user"}}, CheckNonce: true,
	})
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	t.Cleanup(box.Close)
	b := &bench{t: t, box: box, account: redistest.Account(t), dir: t.TempDir()}
	accounts := fmt.Sprintf("accounts:\n- {name: %s, accessKey: key, userId: user, secretEnv: VOUCHERD_TEST_SECRET, baseUrl: %q, concurrency: 4}\n",
		b.account, server.URL)
	b.env = []string{
		"VOUCHERD_REDIS_URL=" + redistest.URL(), "VOUCHERD_ACCOUNT=" + b.account, "VOUCHERD_TEST_SECRET=" + secret,
		"VOUCHERD_ACCOUNTS_FILE=" + b.file("accounts.yaml", []byte(accounts)), "VOUCHERD_WORKER_LISTEN=127.0.0.1:0",
		"VOUCHERD_SHORT_SCHEDULE=100ms", "VOUCHERD_LONG_SCHEDULE=100ms",
		"PANDAPON_CODES_FINAL=4242", "VOUCHERD_OUTAGE_BASE=200ms", "VOUCHERD_OUTAGE_MAX=300ms",
	}
	return b
}

// file writes a file of the test's own and gives its path.
func (b *bench) file(name string, content []byte) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil { //nolint:gosec // a test's own directory
		b.t.Fatal(err)
	}
	return path
}

// picture gives an order, and a file with a receipt that no other order has.
func (b *bench) picture(n int) (order, path string) {
	b.t.Helper()
	picture, err := drawn()
	if err != nil {
		b.t.Fatal(err)
	}
	order = fmt.Sprintf("%s-%d", b.account, n)
	return order, b.file(order+".jpg", append(bytes.Clone(picture), order...)) // what follows a JPEG is not looked at
}

// drawn draws once: it is what would take the longest.
var drawn = sync.OnceValues(func() ([]byte, error) { //nolint:gochecknoglobals // the same picture for all tests
	var p bytes.Buffer
	err := receipt.Draw(&p, receipt.Receipt{Order: "1", Amount: "CNY 1.00", Paid: "today"})
	return p.Bytes(), err
})

// outcome is what a run of the program gave.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs the program to its end.
func (b *bench) run(args ...string) outcome {
	b.t.Helper()
	return b.runWith(strings.NewReader(""), args...)
}

func (b *bench) runWith(stdin io.Reader, args ...string) outcome {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	return start(ctx, stdin, b.env, args...)
}

func start(ctx context.Context, stdin io.Reader, env []string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := main.Run(ctx, args, stdin, &stdout, &stderr, env)
	return outcome{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// must runs the program and fails the test unless it gives this exit code.
func (b *bench) must(code int, args ...string) outcome {
	b.t.Helper()
	o := b.run(args...)
	b.want(o, code)
	return o
}

func (b *bench) want(o outcome, code int, texts ...string) {
	b.t.Helper()
	want(b.t, o, code, texts...)
}

// want checks the exit code, and that texts stand in what was printed.
func want(t *testing.T, o outcome, code int, texts ...string) {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", o.code, code, o.stdout, o.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout+o.stderr, text) {
			t.Errorf("%q is not in what was printed:\nstdout: %s\nstderr: %s", text, o.stdout, o.stderr)
		}
	}
	if strings.Contains(o.stdout+o.stderr, secret) {
		t.Error("the secret was printed")
	}
}

// worker runs a worker until the test, or stop, ends it. It gives its log, and stop its exit code.
func (b *bench) worker(args ...string) (log *lockedBuffer, stop func() int) {
	b.t.Helper()
	return b.background(append([]string{"worker"}, args...)...)
}

// background runs a command until the test, or stop, ends it. It gives its log, and stop its exit code.
func (b *bench) background(args ...string) (log *lockedBuffer, stop func() int) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	log = &lockedBuffer{}
	code := make(chan int, 1)
	go func() {
		code <- main.Run(ctx, args, strings.NewReader(""), io.Discard, log, b.env)
	}()
	stop = sync.OnceValue(func() int { cancel(); return <-code })
	b.t.Cleanup(func() {
		stop()
		if strings.Contains(log.String(), secret) {
			b.t.Error("the secret is in the log")
		}
	})
	return log, stop
}

// upload reads one upload from a line of JSON.
func upload(t *testing.T, line string) ledger.Upload {
	t.Helper()
	var u tasks.UploadStatus
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&u); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return u.Upload
}

func lines(s string) []string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// lockedBuffer collects what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick, late := time.NewTicker(10*time.Millisecond), time.After(limit)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}
