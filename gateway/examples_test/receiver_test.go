package examples_test

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// serve runs the README's receiver under PHP's own server, and gives its address.
func (s *stage) serve(php, events string) string {
	s.t.Helper()
	client, err := os.ReadFile(examples + "voucherd.php")
	must(s.t, err)
	s.file("voucherd.php", client)
	cmd := exec.CommandContext(s.t.Context(), php, "-S", "127.0.0.1:0", s.dropIn("php receiver", "receiver.php"))
	cmd.Env = append(os.Environ(), "EVENTS="+events, "WEBHOOK_SECRET="+webhookSecret)
	log, err := cmd.StderrPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for rows := bufio.NewScanner(log); rows.Scan(); {
		if found := regexp.MustCompile(`http://127\.0\.0\.1:[1-9]\d*`).FindString(rows.Text()); found != "" {
			return found
		}
	}
	s.t.Fatal("the receiver did not start")
	return ""
}

// The README's receiver notes an event that the specification's own library signed, and refuses what
// nobody did.
func TestReceiver(t *testing.T) {
	t.Parallel()
	php := need(t, "php", "-r", `exit(extension_loaded("curl") ? 0 : 1);`)
	s := setup(t, nil)
	events := t.TempDir()
	url := s.serve(php, events)
	hook, err := standardwebhooks.NewWebhook(webhookSecret)
	must(t, err)
	body, now := []byte(`{"id":"evt_1","type":"upload.delivered","data":{"id":"default-1"}}`), time.Now()
	signature, err := hook.Sign("evt_1", now, body)
	must(t, err)
	backend := &http.Client{Timeout: runMost}
	for given, want := range map[string]int{signature: http.StatusNoContent, "v1,": http.StatusBadRequest, "": http.StatusBadRequest} {
		var call *http.Request
		call, err = http.NewRequestWithContext(s.ctx, http.MethodPost, url, bytes.NewReader(body))
		must(t, err)
		call.Header.Set(standardwebhooks.HeaderWebhookID, "evt_1")
		call.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
		call.Header.Set(standardwebhooks.HeaderWebhookSignature, given)
		var answer *http.Response
		answer, err = backend.Do(call)
		must(t, err)
		must(t, answer.Body.Close())
		if answer.StatusCode != want {
			t.Errorf("signature %q: answered %d, want %d", given, answer.StatusCode, want)
		}
	}
	noted, err := os.ReadFile(filepath.Join(events, "evt_1.json"))
	if err != nil || !bytes.Equal(noted, body) {
		t.Errorf("noted %q, %v", noted, err)
	}
}
