package main_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	main "github.com/voucherd/voucherd/cmd/voucherd"
	"github.com/voucherd/voucherd/ledger"
)

// receiver is an OTLP receiver: it keeps the spans that it is sent, by their trace.
type receiver struct {
	t     *testing.T
	url   string
	mu    sync.Mutex
	spans map[string][]*tracepb.Span
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, spans: map[string][]*tracepb.Span{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// ServeHTTP takes spans.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var sent collector.ExportTraceServiceRequest
	body, err := io.ReadAll(q.Body)
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil || q.URL.Path != "/v1/traces" {
		r.t.Errorf("%s got %d bytes: %v", q.URL, len(body), err)
	}
	if bytes.Contains(body, []byte(secret)) {
		r.t.Error("the secret is in a trace")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				r.spans[id] = append(r.spans[id], span)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// trace gives the spans of a trace, by their kind.
func (r *receiver) trace(id string) map[tracepb.Span_SpanKind][]*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	kinds := map[tracepb.Span_SpanKind][]*tracepb.Span{}
	for _, s := range r.spans[id] {
		kinds[s.GetKind()] = append(kinds[s.GetKind()], s)
	}
	return kinds
}

func attributesOf(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		all[a.GetKey()] = a.GetValue().GetStringValue()
		if n := a.GetValue().GetIntValue(); n != 0 {
			all[a.GetKey()] = strconv.FormatInt(n, 10)
		}
	}
	return all
}

// serveGateway runs a gateway until stop, and gives its address and its log.
func (b *bench) serveGateway() (url string, log *lockedBuffer, stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	log = &lockedBuffer{}
	code := make(chan int, 1)
	go func() {
		code <- main.Run(ctx, []string{"gateway", "--listen=127.0.0.1:0"}, strings.NewReader(""), io.Discard, log, b.env)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if c := <-code; c != 0 {
			b.t.Errorf("the gateway ended with %d:\n%s", c, log)
		}
	})
	b.t.Cleanup(stop)
	eventually(b.t, "the gateway listens", func() bool {
		m := regexp.MustCompile(`"event":"gateway.listening","address":"([^"]+)"`).FindStringSubmatch(log.String())
		if m != nil {
			url = "http://" + m[1]
		}
		return m != nil
	})
	return url, log, stop
}

// post enqueues a voucher by HTTP, within a caller's trace when there is one.
func (b *bench) post(url, order, traceparent string) {
	b.t.Helper()
	picture, err := drawn()
	if err != nil {
		b.t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, url+"/v1/uploads?account="+b.account+"&orderId="+order,
		bytes.NewReader(append(bytes.Clone(picture), order...)))
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "image/jpeg")
	if traceparent != "" {
		q.Header.Set("Traceparent", traceparent)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(q)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		b.t.Fatalf("enqueueing got %s", answer.Status)
	}
}

// delivered waits for an upload to be delivered and gives its one attempt.
func (b *bench) delivered(order string) (ledger.Upload, ledger.Attempt) {
	b.t.Helper()
	var u ledger.Upload
	eventually(b.t, order+" is delivered", func() bool {
		u = upload(b.t, b.must(0, "show", "--json", order).stdout)
		return u.State == ledger.Delivered
	})
	return u, u.Attempts[len(u.Attempts)-1]
}

// TestEachUploadHasOneTraceFromIntakeToAttempt enqueues by HTTP, half of it within traces of the
// caller's.
func TestEachUploadHasOneTraceFromIntakeToAttempt(t *testing.T) {
	t.Parallel()
	const uploads = 100
	b, r := newBench(t), newReceiver(t)
	b.env = append(b.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.url)
	url, intake, stopGateway := b.serveGateway()
	work, stopWorker := b.worker()
	orders := make([]string, uploads)
	for i := range orders {
		orders[i] = fmt.Sprintf("%s-%d", b.account, i)
		traceparent := ""
		if i%2 == 0 {
			traceparent = fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)
		}
		b.post(url, orders[i], traceparent)
	}
	traces := map[string]string{}
	for _, order := range orders {
		_, a := b.delivered(order)
		traces[order] = a.TraceID
	}
	_, page := get(t, url+"/uploads/"+upload(t, b.must(0, "show", "--json", orders[0]).stdout).ID)
	stopGateway()
	stopWorker() // so that all spans have been sent
	if !strings.Contains(page, traces[orders[0]]) {
		t.Error("the upload's page does not show the trace")
	}
	seen := map[string]bool{}
	for i, order := range orders {
		id := traces[order]
		if want := fmt.Sprintf("%032x", i+1); i%2 == 0 && id != want {
			t.Errorf("%s is in trace %s, not in the caller's", order, id)
		}
		if seen[id] || id == "" {
			t.Errorf("%s has trace %q, as another", order, id)
		}
		seen[id] = true
		checkTrace(t, r.trace(id), order)
		for name, log := range map[string]*lockedBuffer{"http.request": intake, "upload.attempted": work} {
			if !regexp.MustCompile(`"event":"` + name + `"[^\n]*"trace_id":"` + id).MatchString(log.String()) {
				t.Errorf("no line %s has trace %s", name, id)
			}
		}
	}
}

// checkTrace checks that a trace has the request that enqueued an upload and, below it, the one
// attempt.
func checkTrace(t *testing.T, kinds map[tracepb.Span_SpanKind][]*tracepb.Span, order string) {
	t.Helper()
	served, processed := kinds[tracepb.Span_SPAN_KIND_SERVER], kinds[tracepb.Span_SPAN_KIND_CONSUMER]
	if len(served) != 1 || len(processed) != 1 || len(kinds) != 2 {
		t.Fatalf("%s has %v", order, kinds)
	}
	if !bytes.Equal(processed[0].GetParentSpanId(), served[0].GetSpanId()) {
		t.Errorf("the attempt of %s is not below its request", order)
	}
	request, attempt := attributesOf(served[0]), attributesOf(processed[0])
	for got, want := range map[string]string{
		served[0].GetName(): "POST /v1/uploads", request["http.route"]: "POST /v1/uploads", request["http.response.status_code"]: "202",
		attempt["messaging.system"]: "asynq", attempt["voucherd.outcome"]: "delivered", attempt["http.response.status_code"]: "200",
		attempt["voucherd.order.id"]: order, attempt["voucherd.attempt"]: "1", attempt["voucherd.upload.id"]: request["voucherd.upload.id"],
	} {
		if got != want {
			t.Errorf("the spans of %s say %q, not %q: %v, %v", order, got, want, request, attempt)
		}
	}
}

// TestTracesAreOffWithoutTheirVariables sends none, and keeps none, without a receiver or when the
// standard variables switch them off.
func TestTracesAreOffWithoutTheirVariables(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{"nothing": nil, "disabled": {"OTEL_SDK_DISABLED=true"}, "none": {"OTEL_TRACES_EXPORTER=none"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, r := newBench(t), newReceiver(t)
			if env != nil {
				b.env = append(append(b.env, env...), "OTEL_EXPORTER_OTLP_ENDPOINT="+r.url)
			}
			url, _, stopGateway := b.serveGateway()
			_, stopWorker := b.worker()
			order := b.account + "-1"
			b.post(url, order, "00-00000000000000000000000000000001-0000000000000001-01")
			if u, a := b.delivered(order); a.TraceID != "" {
				t.Errorf("kept: %+v", u)
			}
			stopGateway()
			stopWorker()
			if len(r.spans) != 0 {
				t.Errorf("sent: %v", r.spans)
			}
		})
	}
	b := newBench(t)
	b.env = append(b.env, "OTEL_EXPORTER_OTLP_ENDPOINT=collector")
	b.want(b.run("worker"), 2, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
}
