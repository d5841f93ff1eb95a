package audit

import (
	"slices"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// mayHaveArrived says whether an outcome admits that the API may have taken the voucher.
func mayHaveArrived(v ledger.Outcome) bool {
	return v == ledger.OutcomeUnclear || v == ledger.OutcomeInterrupted
}

// outcomes looks for attempts whose outcome the API's log contradicts.
func (x index) outcomes() Check {
	c := Check{Name: "no outcome contradicts the API's log", Examined: len(x.tries)}
	byNonce := map[string]sandbox.Request{}
	for _, r := range x.Requests {
		byNonce[r.Nonce] = r
	}
	for nonce, t := range x.tries {
		r, arrived := byNonce[nonce]
		switch {
		case t.Outcome == "":
			c.breach("%s attempt %d never ended", t.upload.ID, t.Number)
		case t.Outcome == ledger.OutcomeDelivered && !r.Accepted:
			c.breach("%s attempt %d: delivered, but the API did not take it (%s)", t.upload.ID, t.Number, r.Fault)
		case r.Accepted && t.Outcome != ledger.OutcomeDelivered && !mayHaveArrived(t.Outcome):
			c.breach("%s attempt %d: %s, but the API took it (%s)", t.upload.ID, t.Number, t.Outcome, r.Fault)
		case t.Outcome == ledger.OutcomeInvalid:
			c.breach("%s attempt %d: the blob store had lost or damaged the voucher: %s", t.upload.ID, t.Number, t.Error)
		case arrived && t.Outcome == ledger.OutcomeRefused && r.HTTPStatus == 0:
			c.breach("%s attempt %d: refused, but the API gave no answer", t.upload.ID, t.Number)
		}
	}
	return c
}

// answers looks for request ids that came back and are not found. An answer that left while its
// worker was killed, or had just given up, did not come back.
func (x index) answers() Check {
	c := Check{Name: "every request id that came back is found"}
	for _, r := range x.Requests {
		t, ok := x.tries[r.Nonce]
		if !ok || r.Code == 0 || r.RequestID == "" {
			continue
		}
		gone := t.Outcome == ledger.OutcomeInterrupted || t.HTTPStatus == 0 && t.Outcome == ledger.OutcomeUnclear
		if cut := len(x.Wire) > 0 && x.passed[r.Nonce].Answered.IsZero(); gone || cut {
			continue
		}
		c.Examined++
		if t.RequestID != r.RequestID {
			c.breach("request %d (%s, HTTP %d) gave %s, attempt %d of %s (%s) has %q",
				r.Number, r.Fault, r.HTTPStatus, r.RequestID, t.Number, t.upload.ID, t.Outcome, t.RequestID)
		} else if !slices.Contains(x.Found[r.RequestID], t.upload.ID) {
			c.breach("a search for %s (request %d) gives %v and not %s", r.RequestID, r.Number, x.Found[r.RequestID], t.upload.ID)
		}
	}
	return c
}

// searchable looks for request ids that the ledger shows and does not find.
func (x index) searchable() Check {
	c := Check{Name: "every request id in the ledger is found"}
	for _, t := range x.tries {
		if t.RequestID == "" {
			continue
		}
		c.Examined++
		if !slices.Contains(x.Found[t.RequestID], t.upload.ID) {
			c.breach("a search for %s gives %v and not %s", t.RequestID, x.Found[t.RequestID], t.upload.ID)
		}
	}
	return c
}

// soon is within how long an attempt has ended and is written down, whatever happens to Redis: the
// longest that a run keeps it away, a call's limit, and a command's.
const soon = 15 * time.Second

// interrupted looks for attempts that count as cut off although nobody cut them off. Where Redis
// was away a worker may not have learned that its attempt had begun, and then sent nothing; but
// what it has sent it writes down, however late.
func (x index) interrupted() Check {
	c := Check{Name: "attempts are interrupted only where a worker was killed or frozen, or unsent where Redis was away"}
	arrived := map[string]bool{}
	for _, r := range x.Requests {
		arrived[r.Nonce] = true
	}
	for nonce, t := range x.tries {
		if t.Outcome != ledger.OutcomeInterrupted {
			continue
		}
		c.Examined++
		killed, ok := x.Killed[t.Worker]
		cut := ok && killed.After(t.StartedAt.Add(-time.Second)) && killed.Before(t.StartedAt.Add(soon))
		unsent := !arrived[nonce] && x.redisAway(t.StartedAt.Add(-soon), t.StartedAt.Add(soon))
		if !cut && !unsent && !x.frozen(t.Worker, t.StartedAt.Add(-time.Second), t.StartedAt.Add(soon)) {
			c.breach("%s attempt %d by %s at %s, which reached the API: %v", t.upload.ID, t.Number, t.Worker, clock(t.StartedAt.Time), arrived[nonce])
		}
	}
	return c
}
