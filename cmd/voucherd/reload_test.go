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

func TestSIGHUPAddsAnAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	worker := b.process("worker")
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, "--wait", file) // so it runs
	order, file = b.picture(2)
	added := "new" + b.account[3:]
	b.must(0, "enqueue", "--order", order, "--account", added, "--force", file)
	b.accounts("- {name: " + added + "OWN")
	began := time.Now()
	if err := worker.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	var u ledger.Upload
	eventually(t, "delivered", func() bool {
		u = upload(t, b.must(0, "show", "--json", order).stdout)
		return u.State == ledger.Delivered
	})
	took := u.DeliveredAt.Sub(began)
	t.Logf("delivered %v after SIGHUP", took)
	if took > 2*time.Second {
		t.Errorf("delivered %v after SIGHUP", took)
	}
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
