// Package events tells backends what became of their uploads: a feed that they read, and signed
// webhooks that are sent to them. Both are read from the ledger's index of what ended, so delivering
// a voucher costs nothing more for them. An event comes at least once; its id tells repetitions.
package events

import (
	"strconv"

	"github.com/voucherd/voucherd/ledger"
)

// Type says what happened.
type Type string

// The types of event. What a person discards is in the feed only: who did it knows.
const (
	UploadDelivered Type = "upload.delivered"
	UploadRejected  Type = "upload.rejected"
	UploadExpired   Type = "upload.expired"
	UploadDiscarded Type = "upload.discarded"
	BreakerOpened   Type = "account.breaker_opened"
	BreakerClosed   Type = "account.breaker_closed"
)

// Event is one thing that happened.
type Event struct {
	ID        string      `json:"id"` // the same each time the event is told
	Type      Type        `json:"type"`
	Timestamp ledger.Time `json:"timestamp"` // when it happened, by Redis' clock
	Data      Data        `json:"data"`
}

// Data is what an event is about.
type Data struct {
	*ledger.Upload // as it ended, without its attempts; of events about an account nil

	Breaker *Breaker `json:"breaker,omitempty"`
}

// Breaker is the circuit breaker that an event is about.
type Breaker struct {
	Account string      `json:"account"`
	Reason  string      `json:"reason"` // why it opened
	Since   ledger.Time `json:"since"`  // when it opened
}

// ofUpload makes the event of an upload's end.
func ofUpload(u ledger.Upload) Event {
	return Event{
		ID:   "evt_" + u.ID + "_" + strconv.FormatInt(u.EndedAt.UnixMilli(), 10),
		Type: Type("upload." + u.State), Timestamp: u.EndedAt, Data: Data{Upload: &u},
	}
}

// ofBreaker makes the event of an account's breaker that opened or closed.
func ofBreaker(t Type, b Breaker, at ledger.Time) Event {
	id := "evt_" + b.Account + "_opened_"
	if t == BreakerClosed {
		id = "evt_" + b.Account + "_closed_"
	}
	return Event{
		ID: id + strconv.FormatInt(b.Since.UnixMilli(), 10), Type: t, Timestamp: at, Data: Data{Breaker: &b},
	}
}

// line is what stays in order: an event is told after those of the same line that came before it.
func (e Event) line() string {
	if e.Data.Upload != nil {
		return "order " + e.Data.OrderID
	}
	return "breaker"
}
