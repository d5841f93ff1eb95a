package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestAVoucherArrivesAndIsFoundByEveryKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	order, file := b.picture(1)
	o := b.must(0, "enqueue", "--order", order, "--reference", "invoice 7", "--wait", "--json", file)
	u := upload(t, o.stdout)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	arrived := b.box.Requests()
	if len(arrived) != 1 || !arrived[0].Accepted || arrived[0].SHA256 != hex.EncodeToString(sum[:]) {
		t.Fatalf("the sandbox saw %+v", arrived)
	}
	if u.State != ledger.Delivered || u.OrderID != order || u.Reference != "invoice 7" || u.SHA256 != arrived[0].SHA256 ||
		u.RequestID != arrived[0].RequestID || u.Size != int64(len(content)) || u.MediaType != "image/jpeg" || len(u.Attempts) != 1 {
		t.Errorf("the record does not tell what happened: %s", o.stdout)
	}
	byID := b.must(0, "show", "--json", u.ID)
	for _, key := range []string{order, u.RequestID} {
		if diff := cmp.Diff(byID.stdout, b.must(0, "show", "--json", key).stdout); diff != "" {
			t.Errorf("show %s differs from show by upload id: %s", key, diff)
		}
	}
	b.want(b.run("show", order), 0, u.ID, u.RequestID, "delivered: PandaPon's API took the voucher", "invoice 7")
	listed := upload(t, b.must(0, "list", "--account", b.account, "--json").stdout)
	if listed.ID != u.ID || listed.Attempts != nil {
		t.Errorf("list gave %+v", listed)
	}
	b.want(b.run("accounts"), 0, b.account, "closed")
	b.want(b.run("accounts", b.account), 0, "1 delivered")
	b.want(b.run("export", "--account", b.account, "--format", "csv"), 0, "id,account,orderId", u.ID+","+b.account+","+order)
	exported := upload(t, b.must(0, "export", "--account", b.account).stdout)
	if diff := cmp.Diff(upload(t, byID.stdout), exported); diff != "" {
		t.Errorf("export differs from show: %s", diff)
	}
}

func TestTenAtOnceAreOneUpload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	ids, fresh := make([]string, 10), make([]bool, 10)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			o := start(t.Context(), strings.NewReader(""), b.env, "enqueue", "--order", order, "--json", file)
			if o.code != 0 {
				t.Errorf("exit code %d: %s", o.code, o.stderr)
				return
			}
			u := upload(t, o.stdout)
			ids[i], fresh[i] = u.ID, !u.Duplicate
		})
	}
	all.Wait()
	accepted := 0
	for i := range ids {
		if ids[i] != ids[0] {
			t.Errorf("ids differ: %s and %s", ids[0], ids[i])
		}
		if fresh[i] {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d of 10 were new, want 1", accepted)
	}
	b.worker()
	b.must(0, "enqueue", "--order", order, "--wait", file)
	if n := len(b.box.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestStandardInputIsAVoucher(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	piped := b.runWith(bytes.NewReader(content), "enqueue", "--order", order, "-")
	b.want(piped, 0)
	same := b.must(0, "enqueue", "--order", order, file)
	if piped.stdout != same.stdout {
		t.Errorf("the same voucher got the ids %q and %q", piped.stdout, same.stdout)
	}
	b.want(same, 0, "enqueued before")
}

func TestWaitingForARefusedUploadSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4242, Msg: "no such order"})
	b.worker()
	order, file := b.picture(1)
	o := b.must(4, "enqueue", "--order", order, "--wait", file)
	b.want(o, 4, "Rejected", "4242", "no such order")
	b.want(b.run("enqueue", "--order", order, file), 0, "enqueued before", "rejected")
	b.box.SetFaults()
	b.must(0, "enqueue", "--order", order, "--again", "--wait", file)
}

func TestBreakingOffTheWaitLeavesTheUpload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() {
		done <- start(ctx, strings.NewReader(""), b.env, "enqueue", "--order", order, "--wait", file)
	}()
	eventually(t, "the upload is recorded", func() bool { return b.run("show", order).code == 0 })
	cancel()
	o := <-done
	b.want(o, 130, "goes on in the background", "voucherd show "+strings.TrimSpace(o.stdout))
	if u := upload(t, b.must(0, "show", "--json", order).stdout); u.State != ledger.Queued || u.ID != strings.TrimSpace(o.stdout) {
		t.Errorf("printed %q, and the upload is %+v", o.stdout, u)
	}
}

func TestFilesThatAreNoVouchers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, good := b.picture(1)
	text, empty := b.file("notes.txt", []byte("paid, I promise")), b.file("empty.jpg", nil)
	for _, tc := range []struct {
		code int
		says string
		args []string
	}{
		{1, "no such file", []string{"--order", "1", b.dir + "/none.jpg"}},
		{1, "is a directory", []string{"--order", "1", b.dir}},
		{1, "empty.jpg is empty", []string{"--order", "1", empty}},
		{1, "standard input is empty", []string{"--order", "1", "-"}},
		{1, "notes.txt looks like text/plain", []string{"--order", "1", text}},
		{1, "larger than 1000 bytes", []string{"--order", "1", "--max-voucher-bytes", "1000", good}},
		{2, "unexpected argument", []string{"--order", "1", good, good}},
		{2, "name the file", []string{"--order", "1"}},
		{2, "--order", []string{good}},
		{2, "orderId", []string{"--order", "no spaces", good}},
		{2, "userId", []string{"--order", "1", "--user", "a b", good}},
		{2, "account", []string{"--order", "1", "--account", "UPPER", good}},
	} {
		b.want(b.run(append([]string{"enqueue"}, tc.args...)...), tc.code, tc.says)
	}
	if o := b.must(0, "list", "--account", b.account); o.stdout != "" {
		t.Errorf("something was left behind: %s", o.stdout)
	}
}

func TestRedisAwayIsSaidWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	dead, stuck := redistest.Start(t, redistest.Options{}), redistest.Start(t, redistest.Options{})
	locked := redistest.Start(t, redistest.Options{Password: "open-sesame"})
	dead.Kill()
	stuck.Pause()
	t.Cleanup(stuck.Resume)
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_REDIS_WAIT=0s")
	order, file := b.picture(1)
	for _, tc := range []struct{ name, url, says string }{
		{"dead", dead.URL(), dead.Addr + " could not be reached"},
		{"stuck", stuck.URL(), stuck.Addr + " could not be reached"},
		{"locked", "redis://:wrong-word@" + locked.Addr, locked.Addr + " refuses to work: user or password is wrong"},
	} {
		for _, args := range [][]string{{"enqueue", "--order", order, file}, {"show", order}, {"accounts"}} {
			t.Run(tc.name+" "+args[0], func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				o := start(ctx, strings.NewReader(""), b.env, append(args, "--redis", tc.url)...)
				want(t, o, 1, tc.says, "VOUCHERD_REDIS_URL")
				if strings.Contains(o.stderr, "wrong-word") || strings.Contains(o.stderr, "open-sesame") {
					t.Errorf("a password was printed: %s", o.stderr)
				}
			})
		}
	}
}
