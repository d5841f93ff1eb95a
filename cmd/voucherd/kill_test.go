package main_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// asProgram makes this test binary the program itself, so that a test can kill it.
const asProgram = "RUN_AS_VOUCHERD"

// process starts the program as a process of its own.
func (b *bench) process(args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := b.command(args...)
	b.startProcess(cmd)
	return cmd
}

// command is the program as a process of its own, not started.
func (b *bench) command(args ...string) *exec.Cmd {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(b.t.Context()), self, args...)
	cmd.Env = append(append(os.Environ(), b.env...), asProgram+"=1")
	return cmd
}

// startProcess starts a process that ends with the test.
func (b *bench) startProcess(cmd *exec.Cmd) {
	b.t.Helper()
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// sentTo waits until the API has got n requests, and gives them.
func (b *bench) sentTo(n int) []sandbox.Request {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	if err := b.box.Wait(ctx, func(r []sandbox.Request) bool { return len(r) >= n }); err != nil {
		b.t.Fatal(err)
	}
	return b.box.Requests()
}

// shown gives the order's upload.
func (b *bench) shown(order string) ledger.Upload {
	b.t.Helper()
	return upload(b.t, b.must(0, "show", "--json", order).stdout)
}

// TestKilledInMidAttempt kills the only worker while it waits for the API's answer, and starts it
// again at once, with the settings that users have.
func TestKilledInMidAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Hang, Times: 1})
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	killed := b.process("worker", "--worker-name", "w")
	// It must have struck: what is cut off before would leave the fault to the next request.
	if err := b.box.Wait(t.Context(), func(r []sandbox.Request) bool { return len(r) == 1 && r[0].Fault == sandbox.Hang }); err != nil {
		t.Fatal(err)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // killed, as it should be
	at := time.Now()
	before := b.shown(order)
	if before.State != ledger.Sending || len(before.Attempts) != 1 || before.Attempts[0].Outcome != "" {
		t.Fatalf("after the kill: %+v", before)
	}
	b.worker("--worker-name", "w")
	took := b.sentTo(2)[1].At.Sub(at)
	t.Logf("sent again %v after the kill", took)
	if took > 45*time.Second { // asynq alone needs 90 s; test/bench measures it
		t.Errorf("sent again %v after the kill: not by the heartbeat", took)
	}
	eventually(t, "it is delivered", func() bool { return b.shown(order).State == ledger.Delivered })
	after := b.shown(order)
	if len(after.Attempts) != 2 || after.Attempts[0].Outcome != ledger.OutcomeInterrupted || after.Attempts[0].Nonce != before.Attempts[0].Nonce {
		t.Errorf("after the restart: %+v", after.Attempts)
	}
}

// TestKilledBeforeItBegan kills a worker that has taken up tasks and waits for the breaker, beside
// another that was not the one that reconciles.
func TestKilledBeforeItBegan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_OUTAGE_BASE=1m", "VOUCHERD_OUTAGE_MAX=1m", "VOUCHERD_OUTAGE_ROW=1")
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Outage, Times: 1})
	first, file := b.picture(1)
	b.must(0, "enqueue", "--order", first, file)
	killed := b.process("worker")
	b.sentTo(1)
	waits, file := b.picture(2)
	task := ledger.TaskID(strings.TrimSpace(b.must(0, "enqueue", "--order", waits, file).stdout), 1)
	rdb := redistest.Client(t)
	active := "asynq:{" + ledger.Queue(b.account) + "}:active"
	eventually(t, "the worker has taken up the task", func() bool {
		return slices.Contains(rdb.LRange(t.Context(), active, 0, -1).Val(), task)
	})
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // killed, as it should be
	b.worker()
	eventually(t, "another has the task", func() bool { return b.shown(waits).Generation == 2 })
}

// TestFrozenInMidAttempt stops a worker in mid-call until another has taken its upload over, and
// lets it go on.
func TestFrozenInMidAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_BEAT_EVERY=100ms", "VOUCHERD_DEAD_AFTER=2s")
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(10 * time.Second), Times: 1})
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	frozen := b.process("worker")
	if err := b.box.Wait(t.Context(), func(r []sandbox.Request) bool { return len(r) == 1 && r[0].Accepted }); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.worker()
	eventually(t, "another has delivered it", func() bool { return b.shown(order).State == ledger.Delivered })
	if got := b.shown(order).Attempts; len(got) != 2 || got[0].Outcome != ledger.OutcomeInterrupted {
		t.Errorf("before it went on: %+v", got)
	}
	if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both attempts are recorded", func() bool { return b.shown(order).Attempts[0].Outcome == ledger.OutcomeDelivered })
	u, sent := b.shown(order), b.sentTo(2)
	if u.State != ledger.Delivered || len(u.Attempts) != 2 || len(sent) != 2 {
		t.Fatalf("upload %+v, and %d requests", u, len(sent))
	}
	for i, a := range u.Attempts {
		if a.Nonce != sent[i].Nonce || a.RequestID != sent[i].RequestID {
			t.Errorf("attempt %+v, want it as the API had it: %+v", a, sent[i])
		}
	}
}
