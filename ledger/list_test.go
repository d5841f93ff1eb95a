package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/redistest"
)

// list reads all pages of a query and gives the ids.
func (b *bundle) list(q ledger.Query) []string {
	b.t.Helper()
	var ids []string
	for {
		page, err := b.List(b.ctx, q)
		b.must(err)
		if q.Limit > 0 && len(page.Uploads) > q.Limit {
			b.t.Fatalf("a page of %d uploads, want %d at most", len(page.Uploads), q.Limit)
		}
		for _, u := range page.Uploads {
			if u.Attempts != nil {
				b.t.Fatalf("upload %s is listed with its attempts", u.ID)
			}
			ids = append(ids, u.ID)
		}
		if page.Cursor == "" {
			return ids
		}
		if len(page.Uploads) < q.Limit {
			b.t.Fatalf("a page of %d uploads is not the last one", len(page.Uploads))
		}
		q.Cursor = page.Cursor
	}
}

// every end that an upload may come to, by its state.
func ends() map[ledger.State]func(*bundle, string) {
	return map[ledger.State]func(*bundle, string){
		ledger.Queued:    func(*bundle, string) {},
		ledger.Sending:   func(b *bundle, id string) { b.started(id, 1, "n") },
		ledger.Waiting:   func(b *bundle, id string) { b.attempt(id, unavailable()) },
		ledger.Delivered: func(b *bundle, id string) { b.attempt(id, delivered("r")) },
		ledger.Rejected:  func(b *bundle, id string) { b.attempt(id, final()) },
		ledger.Expired:   func(b *bundle, id string) { b.attempt(id, next(refused(ledger.FaultNone), ledger.Expired)) },
		ledger.Discarded: func(b *bundle, id string) { b.discard(id) },
	}
}

func TestListByState(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	want := map[ledger.State][]string{}
	var all []string
	for i := range 5 {
		for state, end := range ends() {
			id := b.open(fmt.Sprint(state, i), "receipt").ID
			end(b, id)
			want[state] = append(want[state], id)
			all = append(all, id)
			b.later(time.Millisecond)
		}
	}
	for state, ids := range want {
		for _, limit := range []int{0, 1, 2, 3, 5, 6} {
			oldest := b.list(ledger.Query{Account: b.account, State: state, Limit: limit, OldestFirst: true})
			if !slices.Equal(oldest, ids) {
				t.Errorf("%s, %d a page, oldest first: %v, want %v", state, limit, oldest, ids)
			}
			newest := b.list(ledger.Query{Account: b.account, State: state, Limit: limit})
			slices.Reverse(newest)
			if !slices.Equal(newest, ids) {
				t.Errorf("%s, %d a page, newest first: reversed %v, want %v", state, limit, newest, ids)
			}
		}
	}
	for _, limit := range []int{1, 7, 35, 36} {
		if got := b.list(ledger.Query{Account: b.account, Limit: limit, OldestFirst: true}); !slices.Equal(got, all) {
			t.Errorf("all states, %d a page: %v, want %v", limit, got, all)
		}
	}
}

func TestListTies(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	const n = 23
	var ids []string
	for i := range n {
		o := b.open(fmt.Sprint("order-", i), "receipt")
		b.must(b.rdb.ZAdd(b.ctx, b.prefix()+"s:queued", redisZ(1_700_000_000_000, b.key(o.ID))).Err())
		ids = append(ids, o.ID)
	}
	slices.Sort(ids)
	for limit := 1; limit <= n+1; limit++ {
		if got := b.list(ledger.Query{Account: b.account, Limit: limit, OldestFirst: true}); !slices.Equal(got, ids) {
			t.Fatalf("%d a page, oldest first: %v, want %v", limit, got, ids)
		}
		got := b.list(ledger.Query{Account: b.account, Limit: limit, State: ledger.Queued})
		slices.Reverse(got)
		if !slices.Equal(got, ids) {
			t.Fatalf("%d a page, newest first: reversed %v, want %v", limit, got, ids)
		}
	}
}

func TestListSince(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	old, ended := b.open("old", "receipt"), b.open("order", "ended")
	b.later(2 * time.Hour)
	b.attempt(ended.ID, delivered("r"))
	young := b.open("order", "young")
	want := []string{ended.ID, young.ID}
	slices.Sort(want)
	for _, q := range []ledger.Query{{}, {OldestFirst: true}, {Limit: 1}, {Limit: 1, OldestFirst: true}, {OrderID: "order"}} {
		q.Account, q.Since = b.account, time.Hour
		got := b.list(q)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", q, got, want)
		}
	}
	if got := b.list(ledger.Query{Account: b.account, Since: 3 * time.Hour}); len(got) != 3 || got[2] != old.ID {
		t.Errorf("of the last 3 h: %v, want the oldest last: %s", got, old.ID)
	}
}

func TestListByOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	var ids []string
	for i := range 5 {
		ids = append(ids, b.open("order", strconv.Itoa(i)).ID)
		b.open(fmt.Sprint("other-", i), "receipt")
		b.later(time.Millisecond)
	}
	b.attempt(ids[0], final())
	ids = append(ids[1:], ids[0]) // it ended last
	for _, limit := range []int{0, 1, 2, 5} {
		if got := b.list(ledger.Query{OrderID: "order", Account: b.account, Limit: limit, OldestFirst: true}); !slices.Equal(got, ids) {
			t.Errorf("%d a page: %v, want %v", limit, got, ids)
		}
	}
	if got := b.list(ledger.Query{OrderID: "order", Account: b.account, State: ledger.Rejected}); !slices.Equal(got, ids[4:]) {
		t.Errorf("rejected of the order: %v, want %v", got, ids[4:])
	}
	b.finds("order", ids[3], ids[2], ids[1], ids[0], ids[4]) // newest first, by creation
}

func TestListSeveralAccounts(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Options{}).Client()
	var accounts []*bundle
	for range 3 {
		accounts = append(accounts, newBundle(t, rdb, ledger.Settings{}))
	}
	var ids, order []string
	for i := range 4 {
		for _, b := range accounts {
			ids = append(ids, b.open(fmt.Sprint("order-", i), "receipt").ID)
			if i == 0 {
				order = append(order, ids[len(ids)-1])
			}
			for _, b := range accounts {
				b.later(time.Millisecond)
			}
		}
	}
	for _, limit := range []int{1, 2, 5, 12, 100} {
		if got := accounts[0].list(ledger.Query{Limit: limit, OldestFirst: true}); !slices.Equal(got, ids) {
			t.Errorf("%d a page: %v, want %v", limit, got, ids)
		}
		if got := accounts[0].list(ledger.Query{Limit: limit, OldestFirst: true, OrderID: "order-0"}); !slices.Equal(got, order) {
			t.Errorf("of an order, %d a page: %v, want %v", limit, got, order)
		}
	}
	us, err := accounts[0].Find(accounts[0].ctx, "order-0")
	accounts[0].must(err)
	if len(us) != 3 || us[0].ID != order[2] || us[2].ID != order[0] {
		t.Errorf("find %+v, want the newest first", us)
	}
}

// What is acted on leaves the list; the pages that follow miss nothing.
func TestListWhileActing(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	const n = 30
	for i := range n {
		b.attempt(b.open(fmt.Sprint("order-", i), "receipt").ID, final())
	}
	q := ledger.Query{Account: b.account, State: ledger.Rejected, Limit: 7}
	seen := 0
	for {
		page, err := b.List(b.ctx, q)
		b.must(err)
		for _, u := range page.Uploads {
			b.reopen(u.ID)
			seen++
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			break
		}
	}
	if seen != n {
		t.Errorf("acted on %d, want %d", seen, n)
	}
}

func TestListOldestFirstMissesNothingThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	want := map[string]bool{}
	for i := range 20 {
		want[b.open(fmt.Sprint("order-", i), "receipt").ID] = true
	}
	q := ledger.Query{Account: b.account, Limit: 3, OldestFirst: true}
	for first := true; ; first = false {
		page, err := b.List(b.ctx, q)
		b.must(err)
		for _, u := range page.Uploads {
			delete(want, u.ID)
		}
		if first {
			b.later(time.Millisecond)
			for id := range want {
				b.attempt(id, delivered("r"))
			}
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			break
		}
	}
	if len(want) > 0 {
		t.Errorf("missed %v", want)
	}
}

func TestListCursor(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	key := b.key(b.open("order", "receipt").ID)
	for _, c := range []string{"x", "1", "1.2.3", "0." + key + "." + b.account, "1." + key + ".NO", "1." + key + "." + b.account + ".x", "-1." + key + "." + b.account} {
		if _, err := b.List(b.ctx, ledger.Query{Account: b.account, Cursor: c}); !errors.Is(err, ledger.ErrCursor) {
			t.Errorf("cursor %q: %v, want ErrCursor", c, err)
		}
	}
	if got := b.list(ledger.Query{Account: "no-such-account"}); len(got) > 0 {
		t.Errorf("an account without uploads lists %v", got)
	}
}

// However rare a code is, a page is read in bounded time: it ends, with a cursor, before all was
// looked through.
func TestListOfARareCodeIsReadInPages(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	rare := b.open("rare", "receipt").ID
	o := final()
	o.Code = "4003"
	b.attempt(rare, o)
	u, err := b.Get(b.ctx, rare)
	b.must(err)
	const others = 45_000 // that are gone by now count, too
	var zs []redis.Z
	for i := range others {
		id := ledger.UploadID(b.account, "", strconv.Itoa(i), hash("other"))
		zs = append(zs, redis.Z{Score: float64(u.EndedAt.UnixMilli() + int64(i) + 1), Member: b.key(id)})
	}
	for chunk := range slices.Chunk(zs, 5000) {
		b.must(b.rdb.ZAdd(b.ctx, b.prefix()+"s:rejected", chunk...).Err())
	}
	for _, limit := range []int{1, 100} {
		q := ledger.Query{Account: b.account, State: ledger.Rejected, Code: "4003", Limit: limit}
		pages := 0
		var found []ledger.Upload
		for {
			p, err := b.List(b.ctx, q)
			b.must(err)
			pages, found = pages+1, append(found, p.Uploads...)
			if q.Cursor = p.Cursor; q.Cursor == "" {
				break
			}
		}
		if pages != 3 || len(found) != 1 || found[0].ID != rare {
			t.Errorf("%d at a time: %d uploads on %d pages, want 1 on 3", limit, len(found), pages)
		}
	}
}

// Of many that match, a page has as many as it shall, and the next goes on behind them.
func TestListOfACommonCode(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	var want []string
	for i := range 9 {
		o := final()
		o.Code = []string{"4003", "4004", "4003"}[i%3]
		id := b.open(strconv.Itoa(i), "receipt").ID
		b.attempt(id, o)
		if o.Code == "4003" {
			want = append(want, id)
		}
	}
	q := ledger.Query{Account: b.account, State: ledger.Rejected, Code: "4003", Limit: 100}
	whole, err := b.List(b.ctx, q)
	b.must(err)
	slices.SortStableFunc(want, func(x, y string) int { // what ended in the same millisecond is in any order
		at := func(id string) int {
			return slices.IndexFunc(whole.Uploads, func(u ledger.Upload) bool { return u.ID == id })
		}
		return at(x) - at(y)
	})
	for limit := range 8 {
		q.Limit, q.Cursor = limit+1, ""
		var got []string
		for {
			p, err := b.List(b.ctx, q)
			b.must(err)
			if len(p.Uploads) > q.Limit {
				t.Fatalf("a page of %d, want %d at most", len(p.Uploads), q.Limit)
			}
			for _, u := range p.Uploads {
				got = append(got, u.ID)
			}
			if q.Cursor = p.Cursor; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d at a time: %v, want %v", q.Limit, got, want)
		}
	}
}
