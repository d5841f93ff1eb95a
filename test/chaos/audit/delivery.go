package audit

import (
	"fmt"
	"slices"

	"github.com/voucherd/voucherd/ledger"
)

// lost looks for accepted vouchers that did not arrive.
func (x index) lost(forgotten *Forgotten) Check {
	c := Check{Name: "every voucher that Enqueue accepted is delivered", Examined: len(x.Enqueued)}
	for _, h := range x.Enqueued {
		u, known := x.Uploads[h.UploadID]
		taken := len(x.taken[voucher(h.OrderID, h.SHA256)]) > 0
		switch {
		case known && u.State == ledger.Delivered && taken:
		case known:
			c.breach("%s (order %s) is %s: %s %s; the API took it: %v", h.UploadID, h.OrderID, u.State, u.Outcome, u.Msg, taken)
		case x.mayForget(h, taken):
			forgotten.Uploads++
			if taken {
				forgotten.Taken++
			}
		default:
			c.breach("%s (order %s, accepted at %s) is not in the ledger; the API took it: %v", h.UploadID, h.OrderID, clock(h.At), taken)
		}
	}
	return c
}

// unknown looks for vouchers that the API took and nobody enqueued.
func (x index) unknown() Check {
	c := Check{Name: "the API took nothing that was not enqueued", Examined: len(x.taken)}
	for v := range x.taken {
		if _, ok := x.enqueued[v]; !ok {
			c.breach("order and voucher %s", v)
		}
	}
	return c
}

// written looks for requests that left without their attempt.
func (x index) written(forgotten *Forgotten) Check {
	c := Check{Name: "every request at the API is recorded as one attempt", Examined: len(x.Requests)}
	seen := map[string]int{}
	for _, r := range x.Requests {
		t, ok := x.tries[r.Nonce]
		h := x.enqueued[voucher(r.OrderID, r.SHA256)]
		switch {
		case !ok && len(x.Losses) > 0 && slices.Contains(x.Found[r.RequestID], h.UploadID):
		case !ok && x.mayForgetCall(r):
			forgotten.Calls++
		case !ok:
			c.breach("request %d (order %s, at %s, fault %q): nonce %s is no attempt's", r.Number, r.OrderID, clock(r.At), r.Fault, r.Nonce)
		case seen[r.Nonce] > 0:
			c.breach("request %d (order %s) repeats the nonce of request %d", r.Number, r.OrderID, seen[r.Nonce])
		case r.Complete && (t.upload.OrderID != r.OrderID || t.upload.SHA256 != r.SHA256):
			c.breach("request %d carries order %s and voucher %.8s, its attempt is of order %s and voucher %.8s",
				r.Number, r.OrderID, r.SHA256, t.upload.OrderID, t.upload.SHA256)
		}
		seen[r.Nonce] = r.Number
	}
	for id, u := range x.Uploads {
		if len(x.Losses) == 0 && u.AttemptCount <= ledger.KeptAttempts && len(u.Attempts) != u.AttemptCount {
			c.breach("%s counts %d attempts and lists %d", id, u.AttemptCount, len(u.Attempts))
		}
	}
	return c
}

// resent lists what the API took more than once, and looks for those where neither the ledger nor a
// loss says why.
func (x index) resent(out *Result) Check {
	c := Check{Name: "sent again after the API took it only where the earlier attempt says that it may have arrived", Examined: len(x.Enqueued)}
	for _, h := range x.Enqueued {
		rs := x.taken[voucher(h.OrderID, h.SHA256)]
		if len(rs) < 2 {
			continue
		}
		one := Resent{UploadID: h.UploadID}
		for i, r := range rs {
			t := x.tries[r.Nonce]
			one.Attempts = append(one.Attempts,
				fmt.Sprintf("attempt %d by %s: %s (at %s, API: fault %q)", t.Number, t.Worker, t.Outcome, clock(r.At), r.Fault))
			if i == len(rs)-1 {
				break
			}
			marked := t.Outcome == ledger.OutcomeUnclear ||
				len(x.Losses) == 0 && (mayHaveArrived(t.Outcome) || x.frozen(t.Worker, r.At, rs[i+1].At))
			if !marked && !x.lossResends(r, rs[i+1]) {
				c.breach("%s (order %s) was sent again at %s after attempt %d, which says %s",
					h.UploadID, h.OrderID, clock(rs[i+1].At), t.Number, t.Outcome)
			}
		}
		out.Resent = append(out.Resent, one)
	}
	return c
}
