package main_test

import (
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"slices"
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

func TestActionsNameWhoeverActs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	orders := b.rejected(3)
	b.must(0, "retry", "--reason", "the shop asked", orders[0])
	eventually(t, "it is rejected again", func() bool {
		u := upload(t, b.must(0, "show", "--json", orders[0]).stdout)
		return u.State == ledger.Rejected && u.AttemptCount == 2
	})
	b.must(0, "discard", "--yes", orders[0])
	_, file := b.picture(0)
	b.box.SetFaults()
	b.must(0, "enqueue", "--again", "--reason", "a mistake", "--order", orders[0], "--wait", file)
	who := user(t)
	shown := b.must(0, "show", orders[0])
	b.want(shown, 0, "retried", "discarded", "enqueued again", who, "the shop asked", "a mistake", "refused")
	for name, text := range map[string]string{
		"show": b.must(0, "show", "--json", orders[0]).stdout, "export": exported(b.must(0, "export").stdout, orders[0]),
	} {
		u := upload(t, text)
		var done []string
		for _, a := range u.Actions {
			if a.By != who || a.At.IsZero() {
				t.Errorf("%s: %+v, want it done by %s", name, a, who)
			}
			done = append(done, strings.TrimSpace(fmt.Sprint(a.Action, " ", a.State, " ", a.Reason)))
		}
		want := []string{"retry rejected the shop asked", "discard rejected", "again discarded a mistake"}
		if !slices.Equal(done, want) || len(u.Attempts) != 3 {
			t.Errorf("%s tells of %q and %d attempts, want %q", name, done, len(u.Attempts), want)
		}
	}
	if csv := b.must(0, "export", "--format", "csv").stdout; !strings.Contains(csv, `""action"":""again""`) {
		t.Errorf("the CSV does not tell what was done: %s", csv)
	}
	if list := b.must(0, "list", "--json", "--order", orders[0]).stdout; strings.Contains(list, `"actions":`) {
		t.Errorf("a list tells actions: %s", list)
	}
}

// user is whoever runs the tests, as the records name them.
func user(t *testing.T) string {
	t.Helper()
	u, err := osuser.Current()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username + "@" + host
}

// exported gives the line of an order.
func exported(out, order string) string {
	for _, line := range lines(out) {
		if strings.Contains(line, order) {
			return line
		}
	}
	return ""
}

func TestBulkRetryByFilter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	orders := b.rejected(3)
	b.box.SetFaults()
	var id string
	b.want(b.run("retry", "--state", "rejected", "--code", "4999"), 0, "0 uploads were put back")
	o := b.must(0, "retry", "--state", "rejected", "--code", "4242", "--dry-run")
	b.want(o, 0, "3 uploads would be put back")
	if got := lines(o.stdout); len(got) != 3 {
		t.Fatalf("meant are %q", got)
	} else {
		id = got[0]
	}
	if u := upload(t, b.must(0, "show", "--json", id).stdout); u.OrderID != orders[0] || u.State != ledger.Rejected {
		t.Errorf("the first one that is meant is %+v, want the oldest, untouched", u)
	}
	for _, rate := range []string{"5", "5/d", "0/s", "-1/s", "x/s", "/s"} {
		b.want(b.run("retry", "--state", "rejected", "--rate", rate), 2, "--rate")
	}
	b.want(b.run("retry", "--code", "4242", orders[0]), 2, "exclude each other")
	file := filepath.Join(b.dir, "result.csv")
	b.want(b.run("retry", "--state", "rejected", "--code", "4242", "--rate", "100/s", "--result", file), 0, "3 uploads were put back")
	eventually(t, "all are delivered", func() bool {
		return len(lines(b.must(0, "list", "--state", "delivered", "--json").stdout)) == len(orders)
	})
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(text), "id,result,error\n"+id+",put back to be sent,\n") || len(lines(string(text))) != 4 {
		t.Errorf("the result is %q, %v", text, err)
	}
}
