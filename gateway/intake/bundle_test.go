package intake_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// bundle is an intake whose vouchers go into memory.
type bundle struct {
	t      *testing.T
	intake *intake.Intake
	order  string // of the last voucher
	stored []byte
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t}
	var err error
	b.intake, err = intake.New(intake.Config{
		Tasks: b, MaxVoucherBytes: 1 << 20, Note: func(*http.Request, ledger.Upload) {},
		By: func(*http.Request) string { return "shop" },
		Limits: intake.Limits{
			Places: 1, Body: intake.BodyLimits{Grace: time.Minute, Rate: 1, Time: time.Minute}, Store: time.Minute,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Enqueue stores a voucher as the queue does; it refuses uploads without an order.
func (b *bundle) Enqueue(_ context.Context, r tasks.Request) (ledger.Upload, error) {
	if r.OrderID == "" {
		return ledger.Upload{}, &tasks.InvalidError{Field: "orderId", Reason: "is missing"}
	}
	var err error
	b.order = r.OrderID
	b.stored, err = io.ReadAll(r.Voucher)
	return ledger.Upload{OrderID: r.OrderID}, err
}

// take hands a body in as POST /v1/uploads does. No body may lead to a fault of ours.
func (b *bundle) take(contentType string, body []byte) error {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, "/v1/uploads", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	_, err := b.intake.TakeUpload(httptest.NewRecorder(), r)
	if err != nil {
		if status := problem.Explain(err).Kind.Status(); status >= http.StatusInternalServerError {
			b.t.Fatalf("%d: %v", status, err)
		}
	}
	return err
}

// holds checks that the voucher that was taken has this order and these bytes.
func (b *bundle) holds(order string, voucher []byte) {
	b.t.Helper()
	if b.order != order || !bytes.Equal(b.stored, voucher) {
		b.t.Fatalf("stored %q for %q, want %q for %q", b.stored, b.order, voucher, order)
	}
}

// png gives a picture of a size, different for each name.
func png(name string, size int) []byte {
	p := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), name...)
	for i := len(p); i < size; i++ {
		p = append(p, byte(i*7&0xff), byte(i>>8&0xff))
	}
	return p[:size]
}
