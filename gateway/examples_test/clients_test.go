package examples_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/voucherd/voucherd/tasks"
)

// enqueued puts an upload of an order into the ledger.
func (s *stage) enqueued(order string) string {
	s.t.Helper()
	u, err := s.tasks.Enqueue(s.ctx, tasks.Request{Account: s.account, OrderID: order, Voucher: bytes.NewReader(picture(s.t, "image/png"))})
	must(s.t, err)
	return u.ID
}

// A list has all its pages, and nothing but what its filters say.
func TestList(t *testing.T) {
	t.Parallel()
	each(t, plain, func(s *stage, run func(...string) said) {
		ids := []string{s.enqueued("order-1"), s.enqueued("order-2"), s.enqueued("order-3")}
		must(s.t, s.deliver(ids[1]))
		got := run("list", "account="+s.account, "limit=1")
		want := []string{ids[2] + "\tqueued\torder-3", ids[1] + "\tdelivered\torder-2", ids[0] + "\tqueued\torder-1"}
		rows := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
		slices.Sort(rows) // an upload that has ended stands at its end
		slices.Sort(want)
		if got.code != 0 || !slices.Equal(rows, want) {
			s.t.Fatalf("exit code %d, printed %q and %q, want %q", got.code, got.out, got.err, want)
		}
		got = run("list", "state=queued", "orderId=order-1", "account="+s.account)
		if got.code != 0 || got.out != ids[0]+"\tqueued\torder-1\n" {
			s.t.Fatalf("exit code %d, printed %q and %q", got.code, got.out, got.err)
		}
		got = run("list", "cursor=shipped & lost")
		if got.code != 1 || got.out != "" || !strings.Contains(got.err, "HTTP 4") {
			s.t.Fatalf("a wrong filter: exit code %d, printed %q and %q", got.code, got.out, got.err)
		}
	})
}

// The feed is read from where it was left. What ended before is not told twice, and what ends later
// is waited for.
func TestFeed(t *testing.T) {
	t.Parallel()
	// The clients read the events of all accounts; each of the tests' accounts sees its own.
	own := func() front {
		return func(s *stage, w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			q.Set("account", s.account)
			r.URL.RawQuery = q.Encode()
			s.gateway.ServeHTTP(w, r)
		}
	}
	each(t, own, func(s *stage, run func(...string) said) {
		cursor := filepath.Join(s.dir, "cursor")
		for i, order := range []string{"order-1", "order-2"} {
			id := s.enqueued(order)
			must(s.t, s.deliver(id))
			got := run("feed", cursor)
			u, err := s.tasks.Get(s.ctx, id)
			must(s.t, err)
			want := "evt_" + id + "_" + strconv.FormatInt(u.DeliveredAt.UnixMilli(), 10) + "\tupload.delivered\t" + id + "\n"
			if got.code != 0 || got.out != want {
				s.t.Fatalf("page %d: exit code %d, printed %q and %q, want %q", i, got.code, got.out, got.err, want)
			}
			kept, err := os.ReadFile(cursor)
			if err != nil || !strings.HasPrefix(string(kept), "e_") {
				s.t.Fatalf("page %d: kept %q, %v", i, kept, err)
			}
		}
	})
}

// Webhooks that the specification's own library signed are accepted, with an old secret's signature
// beside them too, and whatever is changed about them is refused.
func TestVerify(t *testing.T) {
	t.Parallel()
	const old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" // #nosec G101 -- a test's own
	now := time.Now()
	body, err := json.Marshal(map[string]any{
		"id": "evt_1", "type": "upload.rejected", "data": map[string]any{"id": "default-1", "reference": "payé; 支付 \"1\"\n"},
	})
	must(t, err)
	signed := func(secret string, at time.Time) string {
		hook, err := standardwebhooks.NewWebhook(secret)
		must(t, err)
		signature, err := hook.Sign("evt_1", at, body)
		must(t, err)
		return signature
	}
	stamp := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	good := signed(webhookSecret, now)
	cases := []struct {
		name, id, stamp, signature string
		body                       []byte
		refused                    string // why; "": it is accepted
	}{
		{"as it was signed", "evt_1", stamp(now), good, body, ""},
		{"while secrets rotate", "evt_1", stamp(now), signed(old, now) + " " + good, body, ""},
		{"another secret", "evt_1", stamp(now), signed(old, now), body, "signature"},
		{"another id", "evt_2", stamp(now), good, body, "signature"},
		{"another body", "evt_1", stamp(now), good, append(slices.Clone(body), '\n'), "signature"},
		{"no version", "evt_1", stamp(now), strings.TrimPrefix(good, "v1,"), body, "signature"},
		{"long ago", "evt_1", stamp(now.Add(-time.Hour)), signed(webhookSecret, now.Add(-time.Hour)), body, "time"},
		{"to come", "evt_1", stamp(now.Add(time.Hour)), signed(webhookSecret, now.Add(time.Hour)), body, "time"},
		{"no time", "evt_1", "soon", good, body, "time"},
	}
	each(t, plain, func(s *stage, run func(...string) said) {
		for _, c := range cases {
			s.in = c.body
			got := run("verify", c.id, c.stamp, c.signature)
			if c.refused == "" && (got.code != 0 || got.out != "evt_1\tupload.rejected\tdefault-1\n") {
				s.t.Errorf("%s: exit code %d, printed %q and %q", c.name, got.code, got.out, got.err)
			}
			if c.refused != "" && (got.code != 1 || got.out != "" || !strings.Contains(got.err, c.refused)) {
				s.t.Errorf("%s: exit code %d, printed %q and %q; want it refused for its %s", c.name, got.code, got.out, got.err, c.refused)
			}
		}
	})
}

// What is called wrongly says how it is called.
func TestUsage(t *testing.T) {
	t.Parallel()
	each(t, plain, func(s *stage, run func(...string) said) {
		for _, args := range [][]string{nil, {"upload", "--wait", "receipt.png"}, {"verify", "evt_1"}, {"send", "receipt.png"}} {
			if got := run(args...); got.code != 2 || got.out != "" || !strings.Contains(got.err, "CURSORFILE") {
				s.t.Errorf("%q: exit code %d, printed %q and %q", args, got.code, got.out, got.err)
			}
		}
		if n := len(s.uploads()); n != 0 {
			s.t.Errorf("%d uploads in the ledger", n)
		}
	})
}
