package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// handover is what a request to take a voucher says, by whichever door it came.
type handover struct {
	orderID, userID, account, reference string

	again, replace bool
	given          []string // fields that were there
	voucher        spool
}

// handoverFields are the fields beside the voucher.
func handoverFields() []string {
	return []string{"orderId", "userId", "account", "reference", "again", "replace"}
}

// maxField is more than any field may have.
const maxField = 4 << 10

// first notes that a field is there, and refuses to see it twice.
func (h *handover) first(field string) error {
	if slices.Contains(h.given, field) {
		return invalidf(field, "stands more than once")
	}
	h.given = append(h.given, field)
	return nil
}

func (h *handover) has(field string) bool { return slices.Contains(h.given, field) }

// set takes a field as text.
func (h *handover) set(field, value string) error {
	if !slices.Contains(handoverFields(), field) {
		return invalidf(clip(strings.ToValidUTF8(field, "?"), 40), "is not a field here; there are voucher, %s", strings.Join(handoverFields(), ", "))
	}
	if err := h.first(field); err != nil {
		return err
	}
	switch field {
	case "orderId":
		h.orderID = value
	case "userId":
		h.userID = value
	case "account":
		h.account = value
	case "reference":
		h.reference = value
	case "again":
		return setBool(&h.again, field, value)
	case "replace":
		return setBool(&h.replace, field, value)
	}
	return nil
}

func setBool(to *bool, field, value string) error {
	switch value {
	case "true", "1":
		*to = true
	case "false", "0", "":
	default:
		return invalidf(field, "is neither true nor false")
	}
	return nil
}

// fromQuery takes the fields that stand in the query.
func (h *handover) fromQuery(r *http.Request) error {
	values, err := queryOf(r, handoverFields()...)
	if err != nil {
		return err
	}
	for name := range values {
		if err := h.set(name, values.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

// accountOf says which account a request means.
func (g *Gateway) accountOf(name string) (string, error) {
	if name == "" && len(g.cfg.Accounts) == 1 {
		return g.cfg.Accounts[0].Name, nil
	}
	if name == "" {
		name = tasks.DefaultAccount
	}
	var names []string
	for _, l := range g.cfg.Accounts {
		if l.Name == name {
			return name, nil
		}
		names = append(names, l.Name)
	}
	if len(names) == 0 {
		return name, nil
	}
	return "", invalidf("account", "there is none of this name, so nobody would deliver the voucher; there are %s", strings.Join(names, ", "))
}

// enqueue stores what was enqueued: when it returns, the voucher lies in blob store and ledger. From here on a caller
// who leaves changes nothing any more.
func (g *Gateway) enqueue(ctx context.Context, h *handover) (ledger.Upload, error) {
	voucher, err := h.voucher.reader()
	if err != nil {
		return ledger.Upload{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.limits.StoreTime)
	defer cancel()
	began := time.Now()
	u, err := g.tasks.Enqueue(ctx, tasks.Request{
		Account: h.account, OrderID: h.orderID, UserID: h.userID, Reference: h.reference, Voucher: voucher,
		Again: h.again, Replace: h.replace,
	})
	g.told(u, err, time.Since(began))
	if err == nil {
		return u, nil
	}
	if p := explain(err); p.kind != problemInternal {
		return u, p
	}
	// Whatever it is, it may pass, and enqueueing again does no harm: callers shall try again.
	return u, &problem{
		kind: problemAway, retryAfter: awayPause, cause: err, detail: "the voucher could not be stored; enqueue it again",
	}
}

// told counts how a voucher was taken.
func (g *Gateway) told(u ledger.Upload, err error, took time.Duration) {
	result := "accepted"
	switch {
	case errors.Is(err, tasks.ErrInvalid):
		result = "refused"
	case err != nil:
		result = "failed"
	case u.Duplicate:
		result = "duplicate"
	}
	if g.cfg.Enqueued != nil {
		g.cfg.Enqueued(result, took)
	}
}

// answerTime leaves room to answer when the body took longer than the server's own limit.
func (g *Gateway) answerTime(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // only real connections have one
}
