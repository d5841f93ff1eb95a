package gateway_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

// done gives what was done to an upload as "action by reason", oldest first.
func (b *bundle) done(id string) (all []string) {
	b.t.Helper()
	for _, a := range b.get(b.producer, "/v1/uploads/"+id).want(http.StatusOK).upload().Actions {
		if a.At.IsZero() {
			b.t.Errorf("%+v says not when", a)
		}
		all = append(all, strings.TrimSpace(a.Action+" "+a.By+" "+a.Reason))
	}
	return all
}

func TestActionsNameTheToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.rejected("1")
	path := "/v1/uploads/" + id
	b.send(b.operator, path+"/retry", "application/json", []byte(`{"reason": "付款 was checked"}`)).want(http.StatusOK)
	b.send(b.operator, path+"/retry", "application/x-www-form-urlencoded", []byte("reason=once+more")).want(http.StatusOK)
	b.post(b.operator, path+"/discard").want(http.StatusOK)
	b.send(b.producer, "/v1/uploads?orderId=1&again=true&reason=by+mistake", "image/png", png("rejected", 90)).want(http.StatusAccepted)
	want := []string{"retry ops 付款 was checked", "retry ops once more", "discard ops", "again shop by mistake"}
	if got := b.done(id); !slices.Equal(got, want) {
		t.Errorf("done %q, want %q", got, want)
	}
	wrong := b.raw("2", png("wrong", 80))
	kind, body := b.form(part{name: "orderId", value: "2"}, part{name: "replace", value: "true"}, part{name: "voucher", file: png("right", 80)})
	b.send(b.producer, "/v1/uploads", kind, body).want(http.StatusAccepted)
	if got := b.done(wrong.ID); !slices.Equal(got, []string{"replace shop"}) {
		t.Errorf("done %q, want it replaced by shop", got)
	}
	if list := b.get(b.producer, "/v1/uploads?account="+b.account).want(http.StatusOK); strings.Contains(string(list.body), `"actions":`) {
		t.Errorf("a list tells actions: %s", list.body)
	}
}

func TestPagesRecordWhoActs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, other := b.rejected("1"), b.rejected("2")
	form := func(path string, fields url.Values) answer {
		return b.send(b.operator, path, "application/x-www-form-urlencoded", []byte(fields.Encode()))
	}
	form("/uploads/"+id+"/retry", url.Values{"confirmed": {"yes"}, "reason": {" asked by 李娜 "}}).want(http.StatusSeeOther)
	form("/uploads/several", url.Values{
		"act": {"discard"}, "id": {id, other}, "confirmed": {"yes"}, "reason": {"all wrong"},
	}).want(http.StatusOK)
	for id, want := range map[string][]string{id: {"retry ops asked by 李娜", "discard ops all wrong"}, other: {"discard ops all wrong"}} {
		if got := b.done(id); !slices.Equal(got, want) {
			t.Errorf("done %q, want %q", got, want)
		}
	}
}

func TestOpenGatewayNamesTheMachine(t *testing.T) {
	t.Parallel()
	b := setup(t, without(nil))
	id := b.rejected("1")
	b.post("", "/v1/uploads/"+id+"/retry").want(http.StatusOK)
	if got := b.done(id); !slices.Equal(got, []string{"retry loopback"}) {
		t.Errorf("done %q", got)
	}
}

func TestReasonIsReadOrRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.rejected("1")
	path := "/v1/uploads/" + id + "/retry"
	for _, c := range []struct {
		kind, body, problem string
		status              int
	}{
		{"application/json", `{"reason": 1}`, "malformed-body", http.StatusBadRequest},
		{"application/json", `{"why": "x"}`, "malformed-body", http.StatusBadRequest},
		{"application/json", `{"reason": "` + strings.Repeat("x", 5000) + `"}`, "malformed-body", http.StatusBadRequest},
		{"application/x-www-form-urlencoded", "reason=%zz", "malformed-body", http.StatusBadRequest},
		{"text/plain", "because", "unsupported-media-type", http.StatusUnsupportedMediaType},
	} {
		b.send(b.operator, path, c.kind, []byte(c.body)).problem(c.status, c.problem)
	}
	if u, err := b.tasks.Get(b.ctx, id); err != nil || u.State != ledger.Rejected || len(u.Actions) != 0 {
		t.Errorf("the upload is %+v, %v: refused calls must do nothing", u, err)
	}
	b.send(b.operator, path, "", nil).want(http.StatusOK)
}

func TestListByCode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.rejected("1")
	b.raw("2", png("other", 80))
	for query, want := range map[string]int{"code=4711": 1, "code=1": 0, "code=4711&requestId=req-" + id: 1, "code=1&requestId=req-" + id: 0} {
		var page struct{ Uploads []ledger.Upload }
		b.get(b.producer, "/v1/uploads?account="+b.account+"&"+query).want(http.StatusOK).read(&page)
		if len(page.Uploads) != want {
			t.Errorf("%s lists %d uploads, want %d", query, len(page.Uploads), want)
		}
	}
}
