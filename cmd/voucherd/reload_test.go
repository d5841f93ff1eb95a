//go:build unix

package main_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// accounts writes the accounts file with these entries besides the bench's own.
func (b *bench) accounts(more string) {
	b.t.Helper()
	own, err := os.ReadFile(b.dir + "/accounts.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(own), "}\n")
	b.file("accounts.yaml", []byte(first+"}\n"+strings.ReplaceAll(more, "OWN", strings.TrimPrefix(first, "accounts:\n- {name: "+b.account)+"}\n")))
}

// padded gives the accounts file one size, whatever it says, and this time of change.
func (b *bench) padded(changed time.Time) time.Time {
	b.t.Helper()
	path := b.dir + "/accounts.yaml"
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.file("accounts.yaml", append(text, "#"+strings.Repeat(" ", 5000-len(text))+"\n"...))
	if err := os.Chtimes(path, changed, changed); err != nil {
		b.t.Fatal(err)
	}
	return changed
}

func TestSIGHUPAddsAnAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	seen := b.padded(time.Now())
	worker := b.process("worker")
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, "--wait", file) // so it runs
	order, file = b.picture(2)
	added := "new" + b.account[3:]
	b.must(0, "enqueue", "--order", order, "--account", added, "--force", file)
	b.accounts("- {name: " + added + "OWN")
	b.padded(seen) // so that only the signal tells of it
	if err := worker.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "delivered", func() bool {
		return upload(t, b.must(0, "show", "--json", order).stdout).State == ledger.Delivered
	})
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("SIGTERM ended it with %v", err)
	}
}

// An accounts file that changes while a worker waits for Redis is read once it works.
func TestAccountsChangeBeforeTheWorkerWorks(t *testing.T) {
	t.Parallel()
	own := redistest.Start(t, redistest.Options{})
	b := newBench(t)
	own.Kill()
	log, _ := b.worker("--redis", own.URL())
	eventually(t, "it waits", func() bool { return strings.Contains(log.String(), `"worker.waiting"`) })
	b.accounts("- {name: new" + b.account[3:] + "OWN")
	own.Restart()
	eventually(t, "it works on both", func() bool { return strings.Contains(log.String(), `"worker.accounts_changed"`) })
}

func TestABadAccountsFileIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	log, _ := b.worker()
	gateway, _ := b.background("gateway", "--listen", "127.0.0.1:0")
	listening(t, gateway)
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, "--wait", file) // so it runs
	b.accounts("- {name: No Name}\n")
	for name, log := range map[string]*lockedBuffer{"worker": log, "gateway": gateway} {
		eventually(t, name+" refuses the file", func() bool { return strings.Contains(log.String(), `"accounts.refused"`) })
	}
	order, file = b.picture(2)
	b.must(0, "enqueue", "--order", order, "--wait", file)
	b.accounts("- {name: new" + b.account[3:] + "OWN")
	for name, log := range map[string]*lockedBuffer{"worker": log, "gateway": gateway} {
		eventually(t, name+" takes the file", func() bool { return strings.Contains(log.String(), `"accounts.read"`) })
	}
}
