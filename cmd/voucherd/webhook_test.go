package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/voucherd/voucherd/test/redistest"
)

// A worker with webhooks tells a backend that a voucher was delivered, even the first thing it does.
func TestTheWorkerSendsWebhooks(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // #nosec G101 -- a test's own
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(chan string, 10)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verify.Verify(body, r.Header)
		}
		if err != nil {
			t.Errorf("a call that does not verify: %v", err)
		}
		bodies <- string(body)
	}))
	t.Cleanup(backend.Close)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	own := redistest.Start(t, redistest.Options{})
	b := newBench(t)
	order, picture := b.picture(1)
	b.must(0, "enqueue", "--redis", own.URL(), "--order", order, picture)
	log, stop := b.worker("--redis", own.URL(), "--webhook-url", backend.URL, "--webhook-secret-file", file, "--webhook-allow-private", "yes")
	body := <-bodies
	u := upload(t, b.must(0, "show", "--redis", own.URL(), "--json", order).stdout)
	if !strings.Contains(body, `"type":"upload.delivered"`) || !strings.Contains(body, u.ID) || !strings.Contains(body, u.RequestID) {
		t.Errorf("told %s", body)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped with %d:\n%s", code, log)
	}
}
