package gateway_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/blob"
)

func TestVoucherIsAFileAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pdf := []byte("%PDF-1.7\n<script>alert(1)</script>\n%%EOF")
	u := b.send(b.producer, "/v1/uploads?orderId=1", "image/png", pdf).want(http.StatusAccepted).upload()
	a := b.get(b.operator, "/v1/uploads/"+u.ID+"/voucher").want(http.StatusOK)
	if !bytes.Equal(a.body, pdf) {
		t.Fatal("other bytes")
	}
	for name, want := range map[string]string{
		"Content-Type": "application/pdf", "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment; filename=voucher-1.pdf",
		"Cache-Control": "private, no-store", "Content-Length": "42",
	} {
		if got := a.header.Get(name); got != want && name != "Content-Length" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") || !strings.Contains(got, "default-src 'none'") {
		t.Errorf("policy %q", got)
	}
	if head := b.do(call{method: http.MethodHead, path: "/v1/uploads/" + u.ID + "/voucher", token: b.operator}); head.status != http.StatusOK || len(head.body) != 0 {
		t.Errorf("HEAD: %d", head.status)
	}
}

func TestVoucherThatLeftIs410(t *testing.T) {
	t.Parallel()
	b := setup(t)
	discarded := b.raw("1", png("x", 90))
	b.post(b.operator, "/v1/uploads/"+discarded.ID+"/discard").want(http.StatusOK)
	b.get(b.operator, "/v1/uploads/"+discarded.ID+"/voucher").problem(http.StatusGone, "voucher-not-kept")
	lost := b.raw("2", png("y", 90))
	b.must(b.rdb.Del(b.ctx, b.voucherKey(lost.ID)).Err())
	b.get(b.operator, "/v1/uploads/"+lost.ID+"/voucher").problem(http.StatusGone, "voucher-not-kept")
	b.get(b.operator, "/v1/uploads/"+b.account+"-abcdefghijklmnopqrstuvwxyz/voucher").problem(http.StatusNotFound, "not-found")
}

// A damaged voucher never looks whole: a small one is a problem, a large one a connection that is
// cut.
func TestDamagedVoucher(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, size := range []int{90, 2 << 20} {
		u := b.raw("1", png("x", size))
		key := b.voucherKey(u.ID)
		last, err := b.rdb.LIndex(b.ctx, key, -1).Bytes()
		b.must(err)
		last[len(last)-1] ^= 1
		b.must(b.rdb.LSet(b.ctx, key, -1, last).Err())
		a, err := b.try(call{method: http.MethodGet, path: "/v1/uploads/" + u.ID + "/voucher", token: b.operator})
		if size < 1000 {
			b.must(err)
			a.problem(http.StatusInternalServerError, "voucher-damaged")
		} else if err == nil {
			t.Errorf("%d bytes came whole", len(a.body))
		}
	}
	if !strings.Contains(b.logged(), blob.ErrDamaged.Error()) {
		t.Error("the log does not say so")
	}
}

// voucherKey finds where Redis keeps an upload's voucher: with its record, or in the blob store.
func (b *bundle) voucherKey(id string) string {
	b.t.Helper()
	u, err := b.tasks.Get(b.ctx, id)
	b.must(err)
	prefix := "voucherd:{vouchers-" + b.account + "}:"
	if u.Inline {
		return prefix + "b:" + strings.TrimPrefix(id, b.account+"-")
	}
	return prefix + "v:" + strings.TrimPrefix(u.StoreKey, b.account+"-")
}

func TestRetryAndDiscard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dead := b.rejected("1")
	if got := b.post(b.operator, "/v1/uploads/"+dead+"/retry").want(http.StatusOK).upload(); got.State != "queued" || got.Refusals != 0 || got.ID != dead {
		t.Fatalf("%+v", got)
	}
	for _, what := range []string{"retry", "discard"} { // a queued one too
		u := b.raw("2"+what, png(what, 90))
		b.post(b.operator, "/v1/uploads/"+u.ID+"/"+what).want(http.StatusOK)
	}
	u := b.raw("3", png("z", 90))
	b.post(b.operator, "/v1/uploads/"+u.ID+"/discard").want(http.StatusOK)
	b.post(b.operator, "/v1/uploads/"+u.ID+"/discard").want(http.StatusOK) // there is nothing left to do
	a := b.post(b.operator, "/v1/uploads/"+u.ID+"/retry")
	a.problem(http.StatusConflict, "state-does-not-allow")
	if !strings.Contains(string(a.body), `"state":"discarded"`) {
		t.Errorf("%s", a.body)
	}
	for _, what := range []string{"retry", "discard"} {
		b.post(b.operator, "/v1/uploads/"+b.account+"-abcdefghijklmnopqrstuvwxyz/"+what).problem(http.StatusNotFound, "not-found")
	}
	lost := b.rejected("4")
	full, err := b.tasks.Get(b.ctx, lost)
	b.must(err)
	if !full.Kept() {
		t.Fatal("not kept")
	}
}
