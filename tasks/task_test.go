package tasks_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"go.opentelemetry.io/otel/trace"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

const anID = "default-abcdefghijklmnopqrstuvwxyz"

func TestPayloadIsWhatIsOnTheWire(t *testing.T) {
	t.Parallel()
	p := tasks.Payload{Version: 1, ID: anID, Generation: 7}
	if got := string(p.Encode()); got != `{"v":1,"id":"default-abcdefghijklmnopqrstuvwxyz","gen":7}` {
		t.Errorf("encoded as %s", got)
	}
	back, err := tasks.ParsePayload(p.Encode())
	if d := cmp.Diff(p, back); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func TestPayloadRefusals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		``:                                     tasks.ErrPayload,
		`{}`:                                   tasks.ErrPayload,
		`[]`:                                   tasks.ErrPayload,
		`{"v":1,"id":"x","gen":1}`:             tasks.ErrPayload,
		`{"v":0,"id":"` + anID + `"}`:          tasks.ErrPayload,
		`{"v":1,"id":"` + anID + `"}`:          tasks.ErrPayload,
		`{"v":2,"what":"ever"}`:                tasks.ErrNewerPayload,
		`{"v":1,"id":1,"gen":1}`:               tasks.ErrPayload,
		strings.Repeat("[", 100) + `x`:         tasks.ErrPayload,
		`{"v":1,"id":"` + anID + `","gen":-1}`: tasks.ErrPayload,
	} {
		if _, err := tasks.ParsePayload([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(tasks.Payload{ID: anID, Generation: 1}.Encode())
	f.Add([]byte(`{"v":9}`))
	f.Add([]byte(`{"v":1,"id":"default-","gen":1e9}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tasks.ParsePayload(b)
		if err != nil {
			return
		}
		back, err := tasks.ParsePayload(p.Encode())
		if err != nil || back != p || bytes.Contains(p.Encode(), []byte("\n")) {
			t.Errorf("%q reads as %+v, which reads as %+v %v", b, p, back, err)
		}
	})
}

// TestATaskCarriesTheTraceOfItsCaller enqueues within a span of the caller's, and without.
func TestATaskCarriesTheTraceOfItsCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	caller := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	for order, want := range map[string]string{"1": "00-01000000000000000000000000000000-0200000000000000-01", "2": ""} {
		sc := caller
		if want == "" {
			sc = trace.SpanContext{}
		}
		u, err := b.Enqueue(trace.ContextWithSpanContext(b.ctx, sc), tasks.Request{Account: b.account, OrderID: order, Voucher: pdf(order)})
		b.must(err)
		task, err := asynq.NewInspectorFromRedisClient(b.rdb).GetTaskInfo(ledger.Queue(u.Account), ledger.TaskID(u.ID, u.Generation))
		b.must(err)
		if task.Headers["traceparent"] != want {
			t.Errorf("order %s: headers %v", order, task.Headers)
		}
	}
}
