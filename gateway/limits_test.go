package gateway_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway"
)

func (b *bundle) dial() net.Conn {
	b.t.Helper()
	c, err := new(net.Dialer).DialContext(b.ctx, "tcp", strings.TrimPrefix(b.url, "http://"))
	b.must(err)
	b.t.Cleanup(func() { _ = c.Close() })
	b.must(c.SetDeadline(time.Now().Add(waitMost)))
	return c
}

func (b *bundle) write(c net.Conn, text string) {
	b.t.Helper()
	_, err := io.WriteString(c, text)
	b.must(err)
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.cfg.Limits().HeaderTime = 100 * time.Millisecond })
	c := b.dial()
	b.write(c, "GET /livez HTTP/1.1\r\nHost: x\r\nA: b")
	// A server that had no time to read what had come resets the connection.
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("not closed: %v", err)
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := b.try(call{method: http.MethodGet, path: "/livez", header: http.Header{"A": {strings.Repeat("x", 100_000)}}})
	if err == nil && a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Fatalf("answer %d", a.status)
	}
}

// slowUpload begins an upload whose body stops after a few bytes.
func (b *bundle) slowUpload(path string, header http.Header) *bufio.Reader {
	b.t.Helper()
	var h bytes.Buffer
	b.must(header.Write(&h))
	c := b.dial()
	b.write(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"+h.String()+"\r\n")
	b.write(c, `{"base64":"iVBORw`)
	return bufio.NewReader(c)
}

func (b *bundle) producerHeader(contentType string) http.Header {
	return http.Header{"Authorization": {"Bearer " + b.producer}, "Content-Type": {contentType}}
}

func slowIntakes(b *bundle) map[string]*bufio.Reader {
	return map[string]*bufio.Reader{
		"raw":       b.slowUpload("/v1/uploads?orderId=1", b.producerHeader("image/png")),
		"form":      b.slowUpload("/v1/uploads?orderId=1", b.producerHeader("multipart/form-data; boundary=x")),
		"JSON":      b.slowUpload("/v1/uploads", b.producerHeader("application/json")),
		"drop-in":   b.slowUpload(uploadPath, signed()),
		"passed on": b.slowUpload("/open/x", signed()),
	}
}

func TestSlowBodiesAreCutOff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.cfg.Limits().BodyGrace = 100 * time.Millisecond })
	for name, in := range slowIntakes(b) {
		resp, err := http.ReadResponse(in, nil)
		b.must(err)
		body, err := io.ReadAll(resp.Body)
		b.must(err)
		b.must(resp.Body.Close())
		if resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "too slowly") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		if _, err := in.ReadByte(); err == nil {
			t.Errorf("%s: the connection stays", name)
		}
	}
	b.empty()
}

// A body that keeps up a poor but sufficient rate is taken, though it outlasts every other limit.
func TestSlowButSteadyBodiesPass(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		*b.cfg.Limits() = gateway.Limits{ShortTime: 100 * time.Millisecond, HeaderTime: 2 * time.Second, BodyGrace: time.Minute}
	})
	v := png("x", 40)
	c := b.dial()
	b.write(c, "POST /v1/uploads?orderId=1 HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 40\r\nAuthorization: Bearer "+b.producer+"\r\n\r\n")
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	for i := range v {
		<-tick.C
		b.write(c, string(v[i:i+1]))
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	b.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("answer %d", resp.StatusCode)
	}
}

func TestPlacesForUploadsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) {
		*b.cfg.Limits() = gateway.Limits{Uploads: 2, PassedOn: 1, SlotWait: 10 * time.Millisecond}
	})
	// A slow one that met a quick one was refused: then there is room for another.
	busy := func(what string, quick func() answer, slow ...func()) {
		t.Helper()
		b.eventually("busy: "+what, func() bool {
			for _, hold := range slow {
				hold()
			}
			return quick().status == http.StatusServiceUnavailable
		})
	}
	for _, d := range intakes() {
		busy(d.name, func() answer { return d.send(b, "1", png("x", 90)) },
			func() { b.slowUpload("/v1/uploads", b.producerHeader("application/json")) },
			func() { b.slowUpload(uploadPath, signed()) })
	}
	busy("passed on", func() answer { return b.do(call{method: http.MethodGet, path: "/open/x", header: signed()}) },
		func() { b.slowUpload("/open/x", signed()) })
	b.get(b.producer, "/v1/accounts").want(http.StatusOK) // who only asks is not held up
}

// A caller who leaves in the middle leaves nothing behind.
func TestCutOffUploadStoresNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		path   string
		header http.Header
	}{
		{"/v1/uploads?orderId=1", b.producerHeader("image/png")}, {"/v1/uploads", b.producerHeader("application/json")}, {uploadPath, signed()},
	} {
		var h bytes.Buffer
		b.must(c.header.Write(&h))
		conn := b.dial()
		b.write(conn, "POST "+c.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"+h.String()+"\r\n"+string(png("x", 99)))
		b.must(conn.Close())
	}
	for _, line := range b.requestLines(3) {
		if status := line.ContextMap()["status"]; status != int64(http.StatusBadRequest) {
			t.Errorf("status %v", status)
		}
	}
	b.empty()
}

// Connections that say nothing make room for those that ask.
func TestQuietConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	b := setup(t, func(b *bundle) { b.cfg.Limits().Connections = 10 })
	var held []net.Conn
	for range 40 {
		c := b.dial()
		b.write(c, "GET /livez HTTP/1.1\r\nHo")
		held = append(held, c)
	}
	for range 3 {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url+"/livez", http.NoBody)
		b.must(err)
		req.Close = true
		resp, err := b.client.Do(req)
		b.must(err)
		b.must(resp.Body.Close())
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("answer %d", resp.StatusCode)
		}
	}
	if _, err := held[0].Read(make([]byte, 1)); err == nil {
		t.Fatal("the oldest is still open")
	}
}
