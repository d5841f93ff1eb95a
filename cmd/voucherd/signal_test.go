//go:build unix

package main_test

import (
	"context"
	"os/exec"
	"syscall"
	"testing"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// signalInMidAttempt sends a worker a signal while it waits for the API's answer, and gives the
// error of its end.
func (b *bench) signalInMidAttempt(sig syscall.Signal) error {
	b.t.Helper()
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(500e6)})
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	worker := b.process("worker")
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	if err := b.box.Wait(ctx, func(r []sandbox.Request) bool { return len(r) == 1 }); err != nil {
		b.t.Fatal(err)
	}
	if err := worker.Process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
	err := worker.Wait()
	if u := upload(b.t, b.must(0, "show", "--json", order).stdout); u.State != ledger.Delivered || len(u.Attempts) != 1 {
		b.t.Errorf("after %v: %+v", sig, u)
	}
	return err
}

func TestEverySignalToStopDrains(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			if err := newBench(t).signalInMidAttempt(sig); err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// TestNohupIsHeeded starts a worker that ignores SIGHUP, as nohup does.
func TestNohupIsHeeded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	worker := b.command("worker")
	worker.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, worker.Path}, worker.Args[1:]...)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	worker.Path = shell
	b.startProcess(worker)
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, "--wait", file) // so it runs
	if err := worker.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	order, file = b.picture(2)
	b.must(0, "enqueue", "--order", order, "--wait", file)
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("SIGTERM ended it with %v", err)
	}
}
