package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"
)

// alone runs a test's body in a process of its own, for others in this one would spoil what it
// measures.
func alone(t *testing.T) (here bool) {
	t.Helper()
	const mark = "VOUCHERD_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, self, "-test.run", "^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), mark+"="+t.Name())
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// peak runs do and gives how far the memory in use grew meanwhile, heap objects and stacks.
func peak(do func()) (bytes uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	used := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64() + sample[1].Value.Uint64()
	}
	before, most := used(), uint64(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return max(most, before) - before
		case <-tick.C:
			most = max(most, used())
		}
	}
}

// pattern gives a voucher of any size without holding it.
type pattern struct{ left, at int }

func (p *pattern) Read(to []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := min(len(to), p.left)
	clear(to[:n])
	if p.at == 0 {
		copy(to[:n], png("pattern", 24))
	}
	p.at += n
	p.left -= n
	return n, nil
}

// streams writes a request's body for each intake while it is read.
func streams(b *bundle, order string, size int) map[string]call {
	boundary := "b0undary"
	pipe := func(write func(w io.Writer) error) io.Reader {
		r, w := io.Pipe()
		go func() { w.CloseWithError(write(w)) }()
		return r
	}
	asJSON := func(w io.Writer) error {
		if _, err := io.WriteString(w, `{"base64":"`); err != nil {
			return err
		}
		e := base64.NewEncoder(base64.StdEncoding, w)
		if _, err := io.Copy(e, &pattern{left: size}); err != nil {
			return err
		}
		if err := e.Close(); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, `","orderId":%q}`, order)
		return err
	}
	asForm := func(w io.Writer) error {
		m := multipart.NewWriter(w)
		if err := m.SetBoundary(boundary); err != nil {
			return err
		}
		f, err := m.CreateFormFile("voucher", "v.png")
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, &pattern{left: size}); err != nil {
			return err
		}
		if err := m.WriteField("orderId", order); err != nil {
			return err
		}
		return m.Close()
	}
	post := func(path, token string, h http.Header, body io.Reader) call {
		return call{method: http.MethodPost, path: path, token: token, header: h, body: body}
	}
	return map[string]call{
		"raw":     post("/v1/uploads?orderId="+order, b.producer, http.Header{"Content-Type": {"image/png"}}, &pattern{left: size}),
		"form":    post("/v1/uploads", b.producer, http.Header{"Content-Type": {"multipart/form-data; boundary=" + boundary}}, pipe(asForm)),
		"JSON":    post("/v1/uploads", b.producer, http.Header{"Content-Type": {"application/json"}}, pipe(asJSON)),
		"drop-in": post(uploadPath, "", signed(), pipe(asJSON)),
	}
}

const tenMiB = 10 << 20

func TestTenMiBVouchersLeaveMemoryFlat(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	b := setup(t)
	send := func(size, status int) {
		var all sync.WaitGroup
		for name, c := range streams(b, "1022505290408395575", size) { // at once: 40 MiB of voucher
			all.Go(func() {
				a, err := b.try(c)
				taken := a.status == http.StatusAccepted || a.status == http.StatusOK
				// Who is refused may still be sending, and then find the connection closed.
				if status == http.StatusAccepted && !taken || status != http.StatusAccepted && err == nil && a.status != status {
					t.Errorf("%s: %d %s %v", name, a.status, a.body, err)
				}
			})
		}
		all.Wait()
	}
	send(1000, http.StatusAccepted) // so that connections and pools are there
	grown := peak(func() { send(tenMiB, http.StatusAccepted) })
	t.Logf("grown by %.1f MiB at most", float64(grown)/(1<<20))
	if grown > 20<<20 {
		t.Errorf("four vouchers of 10 MiB took %d MiB", grown>>20)
	}
	grown = peak(func() { send(tenMiB+1, http.StatusRequestEntityTooLarge) })
	t.Logf("grown by %.1f MiB at most for vouchers that are a byte too large", float64(grown)/(1<<20))
	if grown > 20<<20 {
		t.Errorf("four refused vouchers took %d MiB", grown>>20)
	}
	if n, err := b.rdb.Keys(b.ctx, "voucherd:{vouchers-"+b.account+"}:u:*").Result(); err != nil || len(n) != 4 {
		t.Errorf("%d uploads, %v", len(n), err)
	}
}

func TestThousandsOfSlowConnectionsLeaveMemoryFlat(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	b := setup(t, func(b *bundle) { b.cfg.Limits().Connections = 256 })
	b.get("", "/livez").want(http.StatusOK)
	held := make([]net.Conn, 0, 10_000)
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	grown := peak(func() {
		for range cap(held) / 4 {
			for _, begin := range []string{"", "P", "POST /v1/uploads HTTP/1.1\r\nHost: x\r\n", "GET /livez HTTP/1.1\r\nX-A: " + strings.Repeat("a", 2000)} {
				c, err := new(net.Dialer).DialContext(b.ctx, "tcp", strings.TrimPrefix(b.url, "http://"))
				if err != nil {
					t.Errorf("connection %d: %v", len(held), err)
					return
				}
				_, _ = io.WriteString(c, begin) // it may be closed already
				held = append(held, c)
			}
		}
	})
	t.Logf("grown by %.1f MiB at most", float64(grown)/(1<<20))
	if grown > 40<<20 {
		t.Errorf("10,000 connections took %d MiB", grown>>20)
	}
	b.get("", "/livez").want(http.StatusOK)
}
