package ledger_test

import (
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// Outcomes as the worker's policy makes them.

func delivered(requestID string) ledger.AttemptResult {
	return ledger.AttemptResult{
		Outcome: ledger.OutcomeDelivered, HTTPStatus: 200, Code: "200", RequestID: requestID, DevelopID: "1021091489188413467",
		Msg: "ok", Next: ledger.Delivered, Duration: 12 * time.Millisecond,
	}
}

func unavailable() ledger.AttemptResult {
	return ledger.AttemptResult{Outcome: ledger.OutcomeUnavailable, HTTPStatus: 503, Next: ledger.Waiting, Error: "http 503"}
}

func unclear() ledger.AttemptResult {
	return ledger.AttemptResult{Outcome: ledger.OutcomeUnclear, Next: ledger.Waiting, Error: "cut off"}
}

func throttled(hold time.Duration) ledger.AttemptResult {
	return ledger.AttemptResult{Outcome: ledger.OutcomeThrottled, HTTPStatus: 429, Hold: hold, Next: ledger.Waiting}
}

func refused(f ledger.Fault) ledger.AttemptResult {
	status := map[ledger.Fault]int{ledger.FaultCredentials: 401, ledger.FaultEndpoint: 404, ledger.FaultRefusing: 400}[f]
	return ledger.AttemptResult{
		Outcome: ledger.OutcomeRefused, HTTPStatus: status, Code: "4711", RequestID: "no", Msg: "no", Fault: f, Next: ledger.Waiting,
	}
}

// final is a refusal that ends an upload at once.
func final() ledger.AttemptResult {
	o := refused(ledger.FaultFinal)
	o.HTTPStatus, o.Next = 200, ledger.Rejected
	return o
}

func invalid() ledger.AttemptResult {
	return ledger.AttemptResult{Outcome: ledger.OutcomeInvalid, Next: ledger.Rejected, Error: "the voucher is damaged"}
}

// requestID gives an outcome another request id.
func requestID(o ledger.AttemptResult, id string) ledger.AttemptResult {
	o.RequestID = id
	return o
}

// after gives an outcome another delay until the next attempt.
func after(o ledger.AttemptResult, d time.Duration) ledger.AttemptResult {
	o.Delay = d
	return o
}

// next gives an outcome another state to follow.
func next(o ledger.AttemptResult, s ledger.State) ledger.AttemptResult {
	o.Next = s
	return o
}
