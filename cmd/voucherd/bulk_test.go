package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// rejected enqueues n vouchers that the API refuses for good.
func (b *bench) rejected(n int) (orders []string) {
	b.t.Helper()
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4242, Msg: "not now"})
	for i := range n {
		order, file := b.picture(i)
		b.must(0, "enqueue", "--order", order, file)
		orders = append(orders, order)
	}
	eventually(b.t, "all are rejected", func() bool {
		return len(lines(b.must(0, "list", "--state", "rejected", "--json").stdout)) == n
	})
	return orders
}

func TestRetrySendsTheRejectedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	orders := b.rejected(12)
	b.box.SetFaults()
	b.want(b.run("retry", orders[0]), 0, "1 upload was put back")
	b.want(b.run("retry", "--state", "rejected"), 0, "11 uploads were put back")
	eventually(t, "all are delivered", func() bool {
		return len(lines(b.must(0, "list", "--state", "delivered", "--json").stdout)) == len(orders)
	})
	b.want(b.run("retry", orders[0]), 1, "is delivered", "only queued, waiting, rejected and expired uploads can be retried")
	b.want(b.run("retry", "--account", "elsewhere", orders[0]), 3, orders[0])
	u := upload(t, b.must(0, "show", "--json", orders[3]).stdout)
	if len(u.Attempts) != 2 || u.Attempts[0].Code != "4242" || u.Attempts[1].Outcome != ledger.OutcomeDelivered {
		t.Errorf("the attempts do not tell the story: %+v", u.Attempts)
	}
}

func TestDiscardAsksFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var orders []string
	for n := range 3 {
		order, file := b.picture(n)
		b.must(0, "enqueue", "--order", order, file)
		orders = append(orders, order)
	}
	b.want(b.run("discard", orders[0]), 1, "Discard 1 upload?", "Nothing was discarded")
	b.want(b.runWith(strings.NewReader("n\n"), "discard", orders[0]), 1, "Nothing was discarded")
	b.want(b.runWith(strings.NewReader("y\n"), "discard", orders[0]), 0, "1 upload was discarded")
	o := b.must(0, "discard", "--state", "queued", "--yes", "--json")
	for _, line := range lines(o.stdout) {
		if u := upload(t, line); u.State != ledger.Discarded {
			t.Errorf("not discarded: %s", line)
		}
	}
	b.want(o, 0, fmt.Sprintf("%d uploads were discarded", len(orders)-1))
	b.worker()
	order, file := b.picture(9)
	b.must(0, "enqueue", "--order", order, "--wait", file)
	if n := len(b.box.Requests()); n != 1 {
		t.Errorf("%d requests, though all but one were discarded", n)
	}
	b.want(b.run("discard", "--yes", order), 1, "is delivered")
}

func TestListPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var newest string
	for n := range 5 {
		order, file := b.picture(n)
		b.must(0, "enqueue", "--order", order, file)
		newest = order
	}
	o := b.must(0, "list", "--limit", "2", "--json")
	b.want(o, 0, "there are more")
	if got := lines(o.stdout); len(got) != 2 || upload(t, got[0]).OrderID != newest {
		t.Errorf("want the newest two, got %s", o.stdout)
	}
	if o := b.must(0, "list", "--limit", "5"); strings.Contains(o.stderr, "more") || len(lines(o.stdout)) != 6 {
		t.Errorf("want a header and five rows, and no more: %s%s", o.stdout, o.stderr)
	}
	b.want(b.run("list", "--order", newest), 0, newest, "queued")
	if o := b.must(0, "export", "--since", "1h"); upload(t, lines(o.stdout)[4]).OrderID != newest {
		t.Errorf("an export begins with the oldest: %s", o.stdout)
	}
}
