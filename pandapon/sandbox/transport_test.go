package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// Behind TLS and HTTP/2 faults strike as well; there a stream is reset, not the connection, and the
// log is complete all the same.
func TestFaultsBehindTLS(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run("HTTP/2 "+strconv.FormatBool(http2), func(t *testing.T) {
			t.Parallel()
			s := sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{account()}})
			server := httptest.NewUnstartedServer(s)
			server.EnableHTTP2 = http2
			server.StartTLS()
			t.Cleanup(server.Close)
			t.Cleanup(s.Close)
			b := &box{s, server.URL, server.Client()}
			for i, kind := range []sandbox.FaultKind{sandbox.Reset, sandbox.CutOff} {
				s.SetFaults(sandbox.Fault{Kind: kind})
				if a := b.upload(t, orderID); a.err == nil {
					t.Errorf("%s: answer %d %s, want an error", kind, a.status, a.body)
				}
				if got := s.Requests()[i]; got.Fault != kind || !got.Accepted || got.AnsweredAt.IsZero() {
					t.Errorf("logged %+v", got)
				}
			}
			s.SetFaults()
			if a := b.upload(t, orderID); a.status != http.StatusOK {
				t.Errorf("healthy again: answer %d, %v", a.status, a.err)
			}
		})
	}
}

// A call that hangs when the log is emptied does not come back to it.
func TestEmptyingTheLogUnderACall(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Config{}, sandbox.Fault{Kind: sandbox.Hang})
	done := make(chan answer)
	go func() { done <- b.upload(t, orderID) }()
	var clearing sync.WaitGroup
	cleared := false
	b.waitFor(t, "the log is empty", func(log []sandbox.Request) bool {
		if len(log) == 1 && log[0].Fault == sandbox.Hang && !cleared {
			cleared = true
			clearing.Go(func() { clearLog(t, b.Sandbox) })
		}
		return cleared && len(log) == 0
	})
	clearing.Wait()
	b.Close()
	<-done
	if log := b.Requests(); len(log) != 0 {
		t.Errorf("log holds %+v", log)
	}
}
