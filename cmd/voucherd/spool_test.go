package main_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// spooling is a bench with a Redis of its own, and a gateway with a spool.
type spooling struct {
	*bench

	redis *redistest.Server
	dir   string
}

func newSpooling(t *testing.T) *spooling {
	t.Helper()
	b := &spooling{bench: newBench(t), redis: redistest.Start(t, redistest.Options{AOF: true}), dir: t.TempDir()}
	b.env = append(b.env, "VOUCHERD_REDIS_URL="+b.redis.URL(), "VOUCHERD_SPOOL="+b.dir, "VOUCHERD_REDIS_WAIT=2s")
	return b
}

var listens = regexp.MustCompile(`"event":"gateway.listening","address":"([^"]+)"`)

// gateway starts a gateway; kill ends it at once.
func (b *spooling) gateway() (url string, kill func()) {
	b.t.Helper()
	log := &lockedBuffer{}
	cmd := b.command("gateway", "--listen", "127.0.0.1:0", "--log-format", "json")
	cmd.Stderr = log
	b.startProcess(cmd)
	eventually(b.t, "the gateway listens", func() bool { return listens.MatchString(log.String()) })
	return "http://" + listens.FindStringSubmatch(log.String())[1], func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// producerTimeout is how long a producer waits for an answer: none gets to feel how long Redis is away.
const producerTimeout = 10 * time.Second

// post posts the n-th voucher of an order and gives its upload.
func (b *spooling) post(url string, order, n int) (ledger.Upload, error) {
	voucher := fmt.Appendf([]byte("%PDF-1.7\n"), "order %d, voucher %d", order, n)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost,
		fmt.Sprintf("%s/v1/uploads?orderId=o%d&reference=%d&account=%s", url, order, n, b.account), bytes.NewReader(voucher))
	if err != nil {
		return ledger.Upload{}, err
	}
	req.Header.Set("Content-Type", "application/pdf")
	resp, err := (&http.Client{Timeout: producerTimeout}).Do(req)
	if err != nil {
		return ledger.Upload{}, err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return ledger.Upload{}, err
	}
	if resp.StatusCode != http.StatusAccepted {
		return ledger.Upload{}, fmt.Errorf("status %d: %s", resp.StatusCode, body.Bytes())
	}
	return upload(b.t, body.String()), nil
}

// get asks the gateway, and gives what it answers.
func (b *spooling) get(url string) (status int, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: limit}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err = text.ReadFrom(resp.Body); err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, text.String()
}

// outlastPatience comes back when a producer without a spool has given up waiting for Redis.
func (b *spooling) outlastPatience() {
	b.t.Helper()
	without := *b.bench
	without.env = slices.DeleteFunc(slices.Clone(b.env), func(v string) bool { return strings.HasPrefix(v, "VOUCHERD_SPOOL=") })
	order, file := b.picture(77)
	without.want(without.run("enqueue", "--order", order, file), 1, "could not be reached")
}

// TestVouchersAreTakenWhileRedisIsAway kills Redis, posts 1,000 vouchers, and kills the gateway in
// between and once more after the patience of producers is over: every one is accepted with the id
// that it has afterwards, and all are delivered, those of each order in the order of their arrival.
func TestVouchersAreTakenWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	const orders, each = 100, 10
	b := newSpooling(t)
	url, kill := b.gateway()
	if u, err := b.post(url, 0, 1000); err != nil || u.Spooled {
		t.Fatalf("with Redis: %+v, %v", u, err)
	}
	b.redis.Kill()
	var mu sync.Mutex
	ids := map[string]bool{}
	posts := func(from, to int) {
		var producers sync.WaitGroup
		for p := range 16 {
			producers.Go(func() {
				for o := p; o < orders; o += 16 {
					for n := from; n < to; n++ {
						u, err := b.post(url, o, n)
						if err != nil || !u.Spooled {
							t.Errorf("order %d, voucher %d: %+v, %v", o, n, u, err)
						}
						mu.Lock()
						ids[u.ID] = true
						mu.Unlock()
					}
				}
			})
		}
		producers.Wait()
	}
	posts(0, each/2)
	kill()
	url, kill = b.gateway() // it starts although Redis is away
	posts(each/2, each)
	if len(ids) != orders*each {
		t.Fatalf("%d ids", len(ids))
	}
	b.outlastPatience()
	if status, body := b.get(url + "/v1/spool"); status != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"vouchers":%d,`, orders*each)) || !strings.Contains(body, `"oldestAt":`) {
		t.Errorf("GET /v1/spool: %d %s", status, body)
	}
	if status, body := b.get(url + "/"); status != http.StatusServiceUnavailable || !strings.Contains(body, "1,000 vouchers wait in this gateway") && !strings.Contains(body, "1000 vouchers wait in this gateway") {
		t.Errorf("the overview: %d %s", status, body)
	}
	kill()
	b.redis.Restart()
	b.gateway()
	_, stop := b.worker()
	defer stop()
	for n := 50; n <= orders*each; n += 50 { // a slow machine is given its time
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if err := b.box.Wait(ctx, func(rs []sandbox.Request) bool { return len(rs) >= n }); err != nil {
			t.Fatalf("the next of %d vouchers did not arrive: %v", n, err)
		}
	}
	eventually(t, "all are delivered", func() bool {
		return strings.Contains(b.must(0, "accounts", "--json").stdout, fmt.Sprintf(`"delivered":%d`, orders*each+1))
	})
	order := map[string]string{} // of the sums of vouchers, as they were posted
	for line := range strings.Lines(b.must(0, "export").stdout) {
		u := upload(t, line)
		if !ids[u.ID] && u.Reference != "1000" || len(u.Attempts) != 1 {
			t.Errorf("%+v", u)
		}
		delete(ids, u.ID)
		order[u.SHA256] = u.Reference
	}
	if len(ids) > 0 {
		t.Errorf("%d of those accepted are not in the ledger", len(ids))
	}
	next := map[string]int{}
	for _, r := range b.box.Requests() {
		if n := order[r.SHA256]; n != "1000" && n != strconv.Itoa(next[r.OrderID]) {
			t.Errorf("order %s: voucher %s came when %d was due", r.OrderID, n, next[r.OrderID])
		} else if n != "1000" {
			next[r.OrderID]++
		}
	}
	left, err := os.ReadDir(filepath.Join(b.dir, "waiting"))
	if err != nil || len(left) > 0 {
		t.Errorf("%d are left in the spool, %v", len(left), err)
	}
}

// TestEnqueueSpools has the command keep a voucher while Redis is away; the next gateway enqueues it.
func TestEnqueueSpools(t *testing.T) {
	t.Parallel()
	b := newSpooling(t)
	b.redis.Kill()
	order, file := b.picture(1)
	kept := b.must(0, "enqueue", "--order", order, file)
	b.want(kept, 0, "Redis is away")
	b.redis.Restart()
	b.gateway()
	eventually(t, "it is enqueued", func() bool { return b.run("show", "--json", strings.TrimSpace(kept.stdout)).code == 0 })
}

// TestDoctorTriesNoOldVoucher holds that doctor does not take what became of a voucher long ago for
// today's answer.
func TestDoctorTriesNoOldVoucher(t *testing.T) {
	t.Parallel()
	b, own := newBench(t), redistest.Start(t, redistest.Options{AOF: true})
	b.env = append(b.env, "VOUCHERD_REDIS_URL="+own.URL())
	order, file := b.picture(1)
	id := strings.TrimSpace(b.must(0, "enqueue", "--account", "default", "--force", "--order", order, file).stdout)
	b.must(0, "discard", "--yes", "--account", "default", id)
	b.want(b.run("doctor", "--try", file, "--order", order), 1, "nothing was sent", "is discarded", "--again")
}

// TestEnqueueWaitsForTheSpool holds that --wait does not say that a voucher of the spool was delivered
// before it was, even if it was delivered once already, and ends when it can never be enqueued.
func TestEnqueueWaitsForTheSpool(t *testing.T) {
	t.Parallel()
	b := newSpooling(t)
	order, file := b.picture(1)
	_, stop := b.worker()
	b.must(0, "enqueue", "--order", order, "--wait", file)
	stop()
	b.redis.Kill()
	wait := func(args ...string) (ended chan outcome, spooled string) {
		ended = make(chan outcome, 1)
		before, err := os.ReadDir(filepath.Join(b.dir, "waiting"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- b.run(append([]string{"enqueue", "--wait"}, args...)...) }()
		eventually(t, "it is in the spool", func() bool {
			now, err := os.ReadDir(filepath.Join(b.dir, "waiting"))
			if err != nil || len(now) == len(before) {
				return false
			}
			spooled = filepath.Join(b.dir, "waiting", now[len(now)-1].Name())
			return true
		})
		return ended, spooled
	}
	again, _ := wait("--order", order, "--again", file)
	order, file = b.picture(2)
	damaged, spooled := wait("--order", order, file)
	if err := os.Truncate(spooled, 500); err != nil {
		t.Fatal(err)
	}
	for _, ended := range []chan outcome{again, damaged} {
		select {
		case o := <-ended:
			t.Fatalf("it does not wait: %+v", o)
		default:
		}
	}
	b.redis.Restart()
	b.gateway()
	_, stop = b.worker()
	defer stop()
	b.want(<-again, 0, "Redis is away", "Delivered")
	if n := len(b.box.Requests()); n != 2 {
		t.Errorf("it was sent %d times, not twice", n)
	}
	b.want(<-damaged, 1, "put aside", filepath.Join("refused", filepath.Base(spooled)))
}

// TestAManifestSpools has Redis away while a manifest is enqueued: every line is kept, and is delivered
// once Redis is back, those of an order in their order.
func TestAManifestSpools(t *testing.T) {
	t.Parallel()
	const each = 4
	b := newSpooling(t)
	b.redis.Kill()
	var list strings.Builder
	list.WriteString("order,file,reference\n")
	for n := range 24 {
		_, file := b.picture(n)
		fmt.Fprintf(&list, "o%d,%s,%d\n", n%(24/each), filepath.Base(file), n)
	}
	manifest := b.file("list.csv", []byte(list.String()))
	kept := b.must(0, "enqueue", "--manifest", manifest)
	b.want(kept, 0, "24 accepted", "0 failed", "24 of them wait in the spool")
	b.outlastPatience()
	b.redis.Restart()
	b.worker() // with the spool, as a gateway is
	eventually(t, "all are delivered", func() bool {
		return strings.Contains(b.run("accounts", "--json").stdout, `"delivered":24`)
	})
	next, sums := map[string]int{}, map[string]int{}
	for line := range strings.Lines(b.must(0, "export").stdout) {
		u := upload(t, line)
		n, err := strconv.Atoi(u.Reference)
		if err != nil || !strings.Contains(kept.stdout, u.ID) {
			t.Errorf("%s is not what was kept: %v", u.ID, err)
		}
		sums[u.SHA256] = n
	}
	for _, r := range b.box.Requests() {
		if n := sums[r.SHA256]; n/(24/each) != next[r.OrderID] {
			t.Errorf("order %s: line %d came as number %d", r.OrderID, n, next[r.OrderID])
		}
		next[r.OrderID]++
	}
	b.want(b.run("enqueue", "--manifest", manifest), 0, "24 known already")
}

// TestDamagedSpool has a file of the spool cut off: it is put aside, and doctor says so.
func TestDamagedSpool(t *testing.T) {
	t.Parallel()
	b := newSpooling(t)
	b.redis.Kill()
	for n := range 2 {
		order, file := b.picture(n)
		b.must(0, "enqueue", "--order", order, file)
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "waiting", "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 500); err != nil {
		t.Fatal(err)
	}
	b.redis.Restart()
	b.gateway()
	order, _ := b.picture(1)
	eventually(t, "the other is enqueued", func() bool { return b.run("show", "--json", order).code == 0 })
	b.eventually(func(o outcome) bool { return o.code == 1 && strings.Contains(o.stdout+o.stderr, "1 files in refused/") }, "doctor")
}
