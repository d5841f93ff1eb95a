package ledger_test

import (
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// Outcomes as the worker's policy makes them.

func delivered(requestID string) ledger.Outcome {
	return ledger.Outcome{
		Verdict: ledger.VerdictDelivered, HTTPStatus: 200, Code: "200", RequestID: requestID, DevelopID: "1021091489188413467",
		Msg: "ok", Next: ledger.Delivered, Duration: 12 * time.Millisecond,
	}
}

func unavailable() ledger.Outcome {
	return ledger.Outcome{Verdict: ledger.VerdictUnavailable, HTTPStatus: 503, Next: ledger.Waiting, Error: "http 503"}
}

func unclear() ledger.Outcome {
	return ledger.Outcome{Verdict: ledger.VerdictUnclear, Next: ledger.Waiting, Error: "cut off"}
}

func throttled(hold time.Duration) ledger.Outcome {
	return ledger.Outcome{Verdict: ledger.VerdictThrottled, HTTPStatus: 429, Hold: hold, Next: ledger.Waiting}
}

func refused(f ledger.Fault) ledger.Outcome {
	status := map[ledger.Fault]int{ledger.FaultCredentials: 401, ledger.FaultEndpoint: 404, ledger.FaultRefusing: 400}[f]
	return ledger.Outcome{
		Verdict: ledger.VerdictRefused, HTTPStatus: status, Code: "4711", RequestID: "no", Msg: "no", Fault: f, Next: ledger.Waiting,
	}
}

// final is a refusal that ends an upload at once.
func final() ledger.Outcome {
	o := refused(ledger.FaultFinal)
	o.HTTPStatus, o.Next = 200, ledger.Rejected
	return o
}

func invalid() ledger.Outcome {
	return ledger.Outcome{Verdict: ledger.VerdictInvalid, Next: ledger.Rejected, Error: "the voucher is damaged"}
}

// requestID gives an outcome another request id.
func requestID(o ledger.Outcome, id string) ledger.Outcome {
	o.RequestID = id
	return o
}

// after gives an outcome another delay until the next attempt.
func after(o ledger.Outcome, d time.Duration) ledger.Outcome {
	o.Delay = d
	return o
}

// next gives an outcome another state to follow.
func next(o ledger.Outcome, s ledger.State) ledger.Outcome {
	o.Next = s
	return o
}
