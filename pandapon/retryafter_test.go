package pandapon_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	year := 365 * 24 * time.Hour
	for name, tt := range map[string]struct {
		value string
		date  time.Time
		want  time.Duration
		ok    bool
	}{
		"absent":                 {value: ""},
		"seconds":                {value: "120", want: 2 * time.Minute, ok: true},
		"zero":                   {value: "0", ok: true},
		"blanks":                 {value: " 7 ", want: 7 * time.Second, ok: true},
		"more than a year":       {value: "99999999", want: year, ok: true},
		"more than an int":       {value: "99999999999999999999999", want: year, ok: true},
		"negative":               {value: "-1"},
		"signed":                 {value: "+1"},
		"fraction":               {value: "1.5"},
		"word":                   {value: "soon"},
		"date":                   {value: "Sun, 01 Mar 2026 12:01:30 GMT", want: 90 * time.Second, ok: true},
		"date in RFC 850":        {value: "Sunday, 01-Mar-26 12:01:30 GMT", want: 90 * time.Second, ok: true},
		"date in asctime":        {value: "Sun Mar  1 12:01:30 2026", want: 90 * time.Second, ok: true},
		"date in the past":       {value: "Sun, 01 Mar 2026 11:00:00 GMT", ok: true},
		"date years ahead":       {value: "Sun, 01 Mar 2099 12:00:00 GMT", want: year, ok: true},
		"date beside their date": {value: "Sun, 01 Mar 2026 15:00:10 GMT", date: now.Add(3 * time.Hour), want: 10 * time.Second, ok: true},
		"half a date":            {value: "Sun, 01 Mar 2026"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := pandapon.ParseRetryAfter(tt.value, tt.date, now)
			if got != tt.want || ok != tt.ok {
				t.Errorf("%q: %s, %t; want %s, %t", tt.value, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestRetryAfterOfAnAnswer(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		// The server's clock is two hours off; only the difference counts.
		w.Header().Set("Date", "Sun, 01 Mar 2026 14:00:00 GMT")
		w.Header().Set("Retry-After", "Sun, 01 Mar 2026 14:00:45 GMT")
		answer(http.StatusTooManyRequests, `{"code":"429","msg":"slow down"}`)(w, r)
	})
	_, err := newClient(t, server.URL).Upload(t.Context(), uploadOf(picture(10)))
	failed := failure(t, err, pandapon.Answered)
	if !failed.HasRetryAfter || failed.RetryAfter != 45*time.Second {
		t.Errorf("retry after %s, %t", failed.RetryAfter, failed.HasRetryAfter)
	}
	if want := time.Date(2026, 3, 1, 14, 0, 0, 0, time.UTC); !failed.Date.Equal(want) {
		t.Errorf("date %s, want %s", failed.Date, want)
	}
	if failed.Envelope.Code != "429" || failed.Envelope.Msg != "slow down" {
		t.Errorf("envelope %+v", failed.Envelope)
	}
}
