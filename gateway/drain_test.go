package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway"
)

// full takes the only places for uploads and for calls passed on.
func full(b *bundle) {
	b.eventually("no place", func() bool { // a slow one that met a quick one was refused
		b.slowUpload("/v1/uploads", b.producerHeader("application/json"))
		return b.send(b.producer, "/v1/uploads", "application/json", nil).status == http.StatusServiceUnavailable
	})
	b.eventually("no place to pass on", func() bool {
		b.slowUpload("/open/x", signed())
		return b.do(call{method: http.MethodGet, path: "/open/x", header: signed()}).status == http.StatusServiceUnavailable
	})
}

// onePlace has one place of each kind, which a slow upload keeps for as long as any test takes.
func onePlace(b *bundle) {
	*b.cfg.Limits() = gateway.Limits{Uploads: 1, PassedOn: 1, SlotWait: time.Millisecond, BodyGrace: 5 * time.Minute}
}

// sendAll sends a whole request before it reads anything, as many HTTP clients do.
func (b *bundle) sendAll(method, path string, header http.Header, body []byte) (answer, error) {
	b.t.Helper()
	c := b.dial()
	if err := send(c, method, path, header, body); err != nil {
		return answer{}, err
	}
	return readAnswer(bufio.NewReader(c))
}

func send(c net.Conn, method, path string, header http.Header, body []byte) error {
	var h bytes.Buffer
	fmt.Fprintf(&h, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", method, path, len(body))
	if err := header.Write(&h); err != nil {
		return err
	}
	h.WriteString("\r\n")
	if _, err := c.Write(h.Bytes()); err != nil {
		return err
	}
	_, err := c.Write(body)
	return err
}

func readAnswer(in *bufio.Reader) (answer, error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, err
}

// Whoever sends a large voucher to a gateway without a free place reads why, and never a connection
// reset.
func TestEveryClientOfAFullGatewayReadsTheRefusal(t *testing.T) {
	t.Parallel()
	type client struct {
		name string
		send func(b *bundle, path string, header http.Header, body []byte) (status int, retryAfter string, err error)
	}
	clients := []client{
		{"sends all first", func(b *bundle, path string, header http.Header, body []byte) (int, string, error) {
			a, err := b.sendAll(http.MethodPost, path, header, body)
			return a.status, a.header.Get("Retry-After"), err
		}},
		{"net/http", func(b *bundle, path string, header http.Header, body []byte) (int, string, error) {
			a, err := b.try(call{method: http.MethodPost, path: path, header: header, body: bytes.NewReader(body)})
			return a.status, a.header.Get("Retry-After"), err
		}},
		{"net/http, chunked", func(b *bundle, path string, header http.Header, body []byte) (int, string, error) {
			a, err := b.try(call{method: http.MethodPost, path: path, header: header, body: io.MultiReader(bytes.NewReader(body))})
			return a.status, a.header.Get("Retry-After"), err
		}},
	}
	if path, err := exec.LookPath("curl"); err == nil {
		clients = append(clients, client{"curl", func(b *bundle, to string, header http.Header, body []byte) (int, string, error) {
			return b.curl(path, to, header, body)
		}})
	}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, onePlace)
			full(b)
			for _, size := range []int{1 << 20, 5 << 20, 10 << 20} {
				body := png("v", size)
				for path, header := range map[string]http.Header{
					"/v1/uploads?orderId=1": b.producerHeader("image/png"), uploadPath: signed(), "/open/x": signed(),
				} {
					status, retryAfter, err := c.send(b, path, header, body)
					if err != nil || status != http.StatusServiceUnavailable || retryAfter != "2" {
						t.Errorf("%s, %d bytes: %d, Retry-After %q, %v", path, size, status, retryAfter, err)
					}
				}
			}
		})
	}
}

func (b *bundle) curl(curl, to string, header http.Header, body []byte) (status int, retryAfter string, err error) {
	file := filepath.Join(b.t.TempDir(), "body")
	b.must(os.WriteFile(file, body, 0o600))
	args := []string{"-sS", "-o", os.DevNull, "-w", "%{http_code} %header{retry-after}", "--data-binary", "@" + file, b.url + to}
	for name := range header {
		args = append(args, "-H", name+": "+header.Get(name))
	}
	out, err := exec.CommandContext(b.ctx, curl, args...).CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("%w: %s", err, out)
	}
	code, retryAfter, _ := strings.Cut(string(out), " ")
	status, err = strconv.Atoi(code)
	return status, retryAfter, err
}

// What is refused before its body was read is refused in words, too.
func TestEarlyRefusalsOfLargeBodiesAreRead(t *testing.T) {
	t.Parallel()
	const dead = "http://127.0.0.1:1" // nothing listens there
	b := setup(t, func(b *bundle) { b.cfg.Accounts[0].BaseURL = dead })
	unsigned := signed()
	unsigned.Set("Signature", "wrong")
	producer := b.producerHeader("image/png")
	with := func(name, value string) http.Header {
		h := producer.Clone()
		h.Set(name, value)
		return h
	}
	for name, c := range map[string]struct {
		method, path string
		header       http.Header
		status       int
	}{
		"no token":        {"POST", "/v1/uploads?orderId=1", http.Header{"Content-Type": {"image/png"}}, 401},
		"no signature":    {"POST", uploadPath, unsigned, 401},
		"another site":    {"POST", "/v1/uploads?orderId=1", with("Sec-Fetch-Site", "cross-site"), 403},
		"producer":        {"POST", "/v1/uploads/x/retry", producer, 403},
		"no path":         {"POST", "/v1/upload", producer, 404},
		"no method":       {"PUT", "/v1/uploads", producer, 405},
		"too large":       {"POST", "/v1/uploads?orderId=1", producer, 413},
		"compressed":      {"POST", "/v1/uploads?orderId=1", with("Content-Encoding", "gzip"), 415},
		"a strange type":  {"POST", "/v1/uploads?orderId=1", with("Content-Type", "text/plain"), 415},
		"no order":        {"POST", "/v1/uploads", producer, 422},
		"the API is away": {"POST", "/open/x", signed(), 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size := 9 << 20 // more than the kernel holds for a server that does not read
			if c.status == http.StatusRequestEntityTooLarge {
				size = 12 << 20
			}
			a, err := b.sendAll(c.method, c.path, c.header, png("v", size))
			if err != nil || a.status != c.status {
				t.Fatalf("answer %d %s, %v, want %d", a.status, a.body, err, c.status)
			}
		})
	}
}

// A client that goes on for ever after its refusal is cut, by time or by bytes, and what it sent is
// never taken for another request.
func TestRefusedBodiesAreReadWithinBounds(t *testing.T) {
	t.Parallel()
	another := "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		limits gateway.Limits
		piece  []byte
		every  time.Duration
	}{
		"slowly":   {gateway.Limits{ShortTime: 2 * time.Second}, []byte(another), 10 * time.Millisecond},
		"for ever": {gateway.Limits{PassedBytes: 1 << 20, ShortTime: time.Hour}, bytes.Repeat([]byte(another), 30_000), time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, smallVouchers, func(b *bundle) { *b.cfg.Limits() = c.limits })
			conn := b.dial()
			b.write(conn, "POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n")
			in := bufio.NewReader(conn)
			a, err := readAnswer(in)
			if err != nil || a.status != http.StatusUnauthorized {
				t.Fatalf("answer %d %s, %v", a.status, a.body, err)
			}
			tick := time.NewTicker(c.every)
			defer tick.Stop()
			for err == nil {
				<-tick.C
				_, err = conn.Write(c.piece)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("not cut")
			}
			if _, err := readAnswer(in); err == nil {
				t.Fatal("the body was taken for another request")
			}
		})
	}
}

// A connection whose refused body came whole serves the next request.
func TestConnectionOutlivesARefusal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial()
	in := bufio.NewReader(c)
	for range 3 {
		b.must(send(c, http.MethodPost, "/v1/uploads?orderId=1", http.Header{"Content-Type": {"image/png"}}, png("v", 1<<20)))
		a, err := readAnswer(in)
		b.must(err)
		if a.status != http.StatusUnauthorized {
			t.Fatalf("answer %d", a.status)
		}
	}
}

// Refused clients that keep the rest of their bodies to themselves make room for those who ask.
func TestRefusedBodiesMakeRoom(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.cfg.Limits().Connections, b.cfg.Limits().ShortTime = 4, time.Hour })
	for range 20 {
		c := b.dial()
		b.write(c, "POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		if _, err := readAnswer(bufio.NewReader(c)); err != nil {
			t.Fatal(err)
		}
	}
	b.get("", "/livez").want(http.StatusOK)
}

// HTTP/2 ends a stream alone; its clients read refusals, too.
func TestHTTP2ClientsReadRefusals(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t, t.TempDir(), 1)
	b := setup(t, func(b *bundle) {
		var err error
		b.cfg.TLS, err = gateway.LoadCertificate(cert, key)
		b.must(err)
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	b.client = &http.Client{Transport: transport}
	for range 3 {
		b.send("", "/v1/uploads?orderId=1", "image/png", png("v", 9<<20)).problem(http.StatusUnauthorized, "unauthorized")
	}
}
