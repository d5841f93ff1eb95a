package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestControlFaults(t *testing.T) {
	t.Parallel()
	clock := newClock()
	b := newBox(t, sandbox.Config{Now: clock.Now})
	expect := func(method, body, want string) {
		t.Helper()
		if status, got := b.control(t, method, "/_sandbox/faults", body); status != http.StatusOK || got != want {
			t.Errorf("%s answered %d %s, want %s", method, status, got, want)
		}
	}
	expect(http.MethodGet, "", `{"faults":[]}`)
	until, err := json.Marshal(clock.Now().Add(90 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	set := `{"kind":"outage","for":"1m30s","probability":1,"times":3,"code":1,"status":500,"msg":"m","retryAfter":"2","delay":"1ms","orderId":"` + orderID + `","userId":"` + userID + `","before":true`
	expect(http.MethodPost, `{"faults":[`+set+`}]}`, `{"faults":[`+set+`,"struck":0,"until":`+string(until)+`}]}`)
	if a := b.upload(t, orderID); a.status != http.StatusInternalServerError {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	expect(http.MethodGet, "", `{"faults":[`+set+`,"struck":1,"until":`+string(until)+`}]}`)
	expect(http.MethodPost, `{"faults":[{"kind":"gone"}]}`, `{"faults":[{"kind":"gone","struck":0}]}`)
	expect(http.MethodDelete, "", `{"faults":[]}`)
	if a := b.upload(t, orderID); a.status != http.StatusOK {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	if log := b.Requests(); len(log) != 2 {
		t.Errorf("%d requests logged, want the 2 uploads alone", len(log))
	}
}

func TestControlRefusesMistakes(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{}, sandbox.Fault{Kind: sandbox.Gone})
	cases := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{http.MethodPost, "/_sandbox/faults", ``, 400, "read faults: EOF"},
		{http.MethodPost, "/_sandbox/faults", `{}`, 400, "send {"},
		{http.MethodPost, "/_sandbox/faults", `[]`, 400, "read faults"},
		{http.MethodPost, "/_sandbox/faults", `{"faults":[{"kind":"outage"},{"kind":"flood"}]}`, 400, "unknown"},
		{http.MethodPost, "/_sandbox/faults", `{"faults":[{"kind":"outage","order":"1"}]}`, 400, "unknown field"},
		{http.MethodPost, "/_sandbox/faults", `{"faults":[{"kind":"outage","for":10}]}`, 400, "read faults"},
		{http.MethodPost, "/_sandbox/faults", `{"faults":[{"kind":"outage","for":"10"}]}`, 400, "missing unit"},
		{http.MethodPost, "/_sandbox/faults", `{"faults":[{"msg":"` + strings.Repeat("x", 1<<20) + `"}]}`, 400, "too large"},
		{http.MethodGet, "/_sandbox/requests?since=-1", "", 400, "since must be a whole number"},
		{http.MethodGet, "/_sandbox/requests?limit=all", "", 400, "limit must be a whole number"},
		{http.MethodPut, "/_sandbox/requests", "", 405, "Method Not Allowed"},
		{http.MethodGet, "/_sandbox/nothing", "", 404, "not found"},
	}
	for _, c := range cases {
		if status, got := b.control(t, c.method, c.path, c.body); status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s %s %.60s answered %d %s, want %d %q", c.method, c.path, c.body, status, got, c.status, c.want)
		}
	}
	if a := b.upload(t, orderID); a.status != http.StatusGone {
		t.Errorf("a refused change took the faults away: answer %d", a.status)
	}
}

func TestControlRequests(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	const calls = 2500 // more than two pages
	for range calls {
		upload(t, b.Sandbox, orderID)
	}
	for query, want := range map[string][2]int{
		"":                    {1, calls},
		"?since=0":            {1, calls},
		"?since=2400":         {2401, calls},
		"?since=10&limit=5":   {11, 15},
		"?since=10&limit=0":   {},
		"?limit=1200":         {1, 1200},
		"?since=2490&limit=9": {2491, 2499},
		"?since=2500":         {},
		"?since=999999":       {},
	} {
		status, body := b.control(t, http.MethodGet, "/_sandbox/requests"+query, "")
		if status != http.StatusOK {
			t.Fatalf("%s answered %d %s", query, status, body)
		}
		log := decodeLog(t, body)
		if want == [2]int{} {
			if len(log) != 0 {
				t.Errorf("%s gave %d lines, want none", query, len(log))
			}
			continue
		}
		if len(log) != want[1]-want[0]+1 || log[0].Number != want[0] || log[len(log)-1].Number != want[1] {
			t.Errorf("%s gave %d lines, want %v", query, len(log), want)
		}
	}
	_, line := b.control(t, http.MethodGet, "/_sandbox/requests?limit=1", "")
	if got := decodeLog(t, line)[0]; got != b.Requests()[0] {
		t.Errorf("read back %+v, want %+v", got, b.Requests()[0])
	}
	if status, body := b.control(t, http.MethodGet, "/_sandbox/health", ""); status != 200 || body != fmt.Sprintf(`{"status":"ok","requests":%d,"faults":0}`, calls) {
		t.Errorf("health %d %s", status, body)
	}
	b.control(t, http.MethodDelete, "/_sandbox/requests", "")
	b.upload(t, orderID)
	if log := b.Requests(); len(log) != 1 || log[0].Number != calls+1 {
		t.Errorf("after DELETE the log is %+v", log)
	}
}

func decodeLog(t *testing.T, lines string) []sandbox.Request {
	t.Helper()
	var log []sandbox.Request
	decoder := json.NewDecoder(strings.NewReader(lines))
	for decoder.More() {
		var r sandbox.Request
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		log = append(log, r)
	}
	return log
}

// The secret is in no answer and no log, whatever the caller sends.
func TestSecretIsNowhere(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{})
	h := headers(time.Now())
	h.Set("signature", "wrong")
	a := b.call(t.Context(), http.MethodPost, uploadPath, h, strings.NewReader("{}"))
	_, log := b.control(t, http.MethodGet, "/_sandbox/requests", "")
	right := sign(accessKey, h.Get("timestamp"), h.Get("nonce-str"), secret)
	for _, text := range []string{string(a.body), log} {
		if strings.Contains(text, secret) || strings.Contains(text, right) {
			t.Errorf("the secret or the right signature shows in %s", text)
		}
	}
}
