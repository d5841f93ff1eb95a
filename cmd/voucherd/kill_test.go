package main_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"

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

// TestKilledInMidAttempt kills a worker while it waits for the API's answer. asynq's lease and the
// ledger's are wound forward here; the chaos run waits for them.
func TestKilledInMidAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Hang, Times: 1})
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	killed := b.process("worker")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := b.box.Wait(ctx, func(r []sandbox.Request) bool { return len(r) == 1 && r[0].Fault == sandbox.Hang }); err != nil {
		t.Fatal(err)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // killed, as it should be

	before := upload(t, b.must(0, "show", "--json", order).stdout)
	if before.State != ledger.Sending || len(before.Attempts) != 1 || before.Attempts[0].Outcome != "" {
		t.Fatalf("after the kill: %+v", before)
	}
	b.windForward(ctx, before)
	b.worker()
	eventually(t, "it is delivered", func() bool {
		return upload(t, b.must(0, "show", "--json", order).stdout).State == ledger.Delivered
	})
	after := upload(t, b.must(0, "show", "--json", order).stdout)
	if len(after.Attempts) != 2 || after.Attempts[0].Outcome != ledger.OutcomeInterrupted || after.Attempts[0].Nonce != before.Attempts[0].Nonce {
		t.Errorf("after the restart: %+v", after.Attempts)
	}
}

// windForward ends the leases that the killed worker held.
func (b *bench) windForward(ctx context.Context, u ledger.Upload) {
	b.t.Helper()
	rdb := redistest.Client(b.t)
	queue := ledger.Queue(b.account)
	task := redis.Z{Score: 1, Member: ledger.TaskID(u.ID, u.Generation)}
	record := "voucherd:{" + queue + "}:u:" + u.ID[len(b.account)+1:]
	for _, err := range []error{
		rdb.ZAdd(ctx, "asynq:{"+queue+"}:lease", task).Err(),
		rdb.HSet(ctx, record, "lease", 1).Err(),
		rdb.ZAdd(ctx, "voucherd:{"+queue+"}:look", redis.Z{Score: 1, Member: u.ID[len(b.account)+1:]}).Err(),
	} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}
