package main_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	main "github.com/voucherd/voucherd/cmd/voucherd"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// eventually runs the program until what it prints fits.
func (b *bench) eventually(fits func(outcome) bool, args ...string) outcome {
	b.t.Helper()
	var o outcome
	for until := time.Now().Add(limit); time.Now().Before(until); {
		if o = b.run(args...); fits(o) {
			return o
		}
	}
	b.t.Fatalf("%v: %+v", args, o)
	return o
}

func TestNobodyWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	b.want(b.run("enqueue", "--order", order, file), 0, "Warning: no worker of account "+b.account+" is running")
	b.want(b.run("accounts"), 0, "none is running", "! no worker of account "+b.account+" is running")
	b.want(b.run("show", order), 0, "queued: no worker of account "+b.account+" is running")
	b.want(b.run("show", "--json", order), 0, `"obstacles":["no-worker"]`, `"liveWorkers":0`)
	b.want(b.run("doctor"), 1, "none is running, 1 upload waits")
	_, stop := b.worker()
	b.eventually(func(o outcome) bool { return strings.Contains(o.stdout, "delivered: PandaPon") }, "show", order)
	b.want(b.run("accounts"), 0, "1: ", "last beat")
	stop()
}

// TestTheLastWorkerIsKilled kills the only worker, and asks everywhere whether it is told within 30 s.
func TestTheLastWorkerIsKilled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_REDIS_URL="+redistest.Start(t, redistest.Options{}).URL())
	gateway := b.gateway()
	worker := b.process("worker")
	first, file := b.picture(1)
	b.must(0, "enqueue", "--order", first, "--wait", file)
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = worker.Wait() // killed, as it should be
	order, file := b.picture(2)
	b.must(0, "enqueue", "--order", order, file)
	nobody := "no worker of account " + b.account + " is running since"
	for what, told := range map[string]func() bool{
		"accounts": func() bool { return strings.Contains(b.run("accounts").stdout, nobody) },
		"show":     func() bool { return strings.Contains(b.run("show", order).stdout, "queued: "+nobody) },
		"doctor":   func() bool { return strings.Contains(b.run("doctor").stdout, "none is running, 1 upload waits") },
		"readyz":   func() bool { _, text := get(t, gateway+"/readyz"); return strings.Contains(text, `"degraded"`) },
		"the page": func() bool { _, text := get(t, gateway+"/"); return strings.Contains(text, "No worker is running") },
		"the alert": func() bool {
			_, text := get(t, gateway+"/metrics")
			return strings.Contains(text, `voucherd_workers{account="`+b.account+`"} 0`)
		},
	} {
		eventually(t, what+" tells of it", told)
		if took := time.Since(killed); took > 30*time.Second {
			t.Errorf("%s told of it only after %v", what, took)
		}
	}
}

func TestAccountsTable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, "--wait", file)
	b.want(b.run("accounts"), 0, "ACCOUNT", "PER MINUTE", "P95", b.account, "closed", "last beat", "delivered, HTTP 200")
	b.want(b.run("accounts", b.account), 0, "1 delivered", "delivered a minute, 95 % of calls take at most")
	var status tasks.AccountStatus
	o := b.must(0, "accounts", b.account, "--json")
	if err := json.Unmarshal([]byte(o.stdout), &status); err != nil || status.DeliveredPerMinute <= 0 || status.AttemptP95MS <= 0 {
		t.Errorf("%s, %v", o.stdout, err)
	}
	b.want(b.run("accounts", "nobody-has-this"), 3, `there is no account "nobody-has-this"`)
}

// gateway runs a gateway until the test ends, and gives its address.
func (b *bench) gateway() string {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	log, done := &lockedBuffer{}, make(chan int, 1)
	go func() {
		done <- main.Run(ctx, []string{"gateway", "--listen", "127.0.0.1:0"}, strings.NewReader(""), log, log, b.env)
	}()
	b.t.Cleanup(func() { cancel(); <-done })
	return listening(b.t, log)
}

func TestShowInAnOutage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_OUTAGE_BASE=20s", "VOUCHERD_OUTAGE_MAX=20s", "VOUCHERD_OUTAGE_ROW=1")
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Outage})
	b.worker()
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	o := b.eventually(func(o outcome) bool { return strings.Contains(o.stdout, "waiting: PandaPon is down since ") }, "show", order)
	if !strings.Contains(o.stdout, "next probe") || strings.Contains(o.stdout, "next attempt") || strings.Contains(o.stdout, "due") {
		t.Errorf("show says %s", o.stdout)
	}
	b.want(b.run("show", "--json", order), 0, `"breaker":"open","reason":"outage"`, `"waitsFor":"PandaPon is down since 20`)

	ctx, cancel := context.WithCancel(t.Context())
	said, code := &lockedBuffer{}, make(chan int, 1)
	go func() {
		code <- main.Run(ctx, []string{"enqueue", "--order", order, "--wait", file}, strings.NewReader(""), io.Discard, said, b.env)
	}()
	eventually(t, "enqueue --wait says what it waits for", func() bool { return strings.Contains(said.String(), "Waiting: PandaPon is down since ") })
	cancel()
	if got := <-code; got != 130 {
		t.Errorf("exit code %d: %s", got, said)
	}
}

func TestAccountsPauseAndResume(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.run("accounts", "pause", "nobody-has-this", "--reason", "x"), 3, `there is no account "nobody-has-this"`)
	b.want(b.run("accounts", "pause", b.account), 2, "--reason")
	b.worker()
	first, file := b.picture(1)
	b.must(0, "enqueue", "--order", first, "--wait", file)
	b.want(b.run("accounts", "pause", b.account, "--reason", "month end", "--for", "2h"), 0, "open (paused)", "is paused since", "month end", "until")
	second, file := b.picture(2)
	b.must(0, "enqueue", "--order", second, file)
	o := b.must(0, "show", second)
	b.want(o, 0, "queued: account "+b.account+" is paused since", "by ", "(month end)")
	var status tasks.AccountStatus
	o = b.must(0, "accounts", "pause", b.account, "--reason", "longer", "--json")
	if err := json.Unmarshal([]byte(o.stdout), &status); err != nil || status.Pause == nil || status.Pause.Reason != "longer" ||
		status.Pause.By == "" || !status.Pause.Until.IsZero() || status.LiveWorkers() != 1 || status.Backlog != 1 {
		t.Fatalf("%s, %v", o.stdout, err)
	}
	b.want(b.run("accounts", "resume", b.account), 0, "closed")
	b.eventually(func(o outcome) bool { return strings.Contains(o.stdout, "delivered: PandaPon") }, "show", second)
}

func TestEnqueueForAnUnknownAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	typo := b.account[:len(b.account)-1] + "-x"
	b.want(b.run("enqueue", "--order", order, "--account", typo, file), 2, `there is no account "`+typo+`"; there are `, b.account, "--force", "nothing was enqueued")
	manifest := b.file("m.csv", []byte("order,file,account\n"+order+","+file+","+typo+"\n"))
	b.want(b.run("enqueue", "--manifest", manifest), 2, "there is no account", "nothing was enqueued")
	b.want(b.run("show", order), 3)
	b.want(b.run("enqueue", "--order", order, "--account", typo, "--force", file), 0, typo, "Warning: no worker of account "+typo)
	b.want(b.run("doctor"), 1, "no worker and no setting knows account "+typo)
	b.must(0, "discard", "--yes", "--account", typo, order)
	b.env = append(b.env, "VOUCHERD_ACCOUNTS_FILE="+b.file("broken.yaml", []byte("accounts: {")))
	b.want(b.run("enqueue", "--order", order, file), 1, "VOUCHERD_ACCOUNTS_FILE")
}
