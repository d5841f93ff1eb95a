package ledger

import (
	"time"
)

// State is where an upload stands.
type State string

// The states of an upload. Delivered, rejected, expired and discarded are final.
const (
	Queued    State = "queued"    // in its order queue, or in the queue; never sent, or to be sent afresh
	Sending   State = "sending"   // an attempt is under way
	Waiting   State = "waiting"   // an attempt failed; another follows
	Delivered State = "delivered" // the API accepted the voucher; whether finance does is PandaPon's to say
	Rejected  State = "rejected"  // refused for good
	Expired   State = "expired"   // still failing when the age limit was over
	Discarded State = "discarded" // given up on by a person
)

// States lists every state, the unfinished ones first.
func States() []State {
	return []State{Queued, Sending, Waiting, Delivered, Rejected, Expired, Discarded}
}

// Final says whether an upload in this state is finished.
func (s State) Final() bool {
	return s == Delivered || s == Rejected || s == Expired || s == Discarded
}

// Valid says whether s is one of the states.
func (s State) Valid() bool {
	return s.Final() || s == Queued || s == Sending || s == Waiting
}

// Outcome says what one attempt came to.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeDelivered   Outcome = "delivered"   // accepted
	OutcomeThrottled   Outcome = "throttled"   // too many calls
	OutcomeRefused     Outcome = "refused"     // the API said no
	OutcomeUnavailable Outcome = "unavailable" // it never reached the API, or the API said it is away
	OutcomeUnclear     Outcome = "unclear"     // sent, and no readable answer: it may have arrived
	OutcomeInterrupted Outcome = "interrupted" // the worker died or was stopped in between: it may have arrived
	OutcomeInvalid     Outcome = "invalid"     // the voucher is missing or damaged; nothing was sent
)

// Time is an instant that is written as RFC 3339 with milliseconds, in UTC.
type Time struct{ time.Time }

// TimeFormat is how a Time is written.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// MarshalText writes the time in TimeFormat.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON writes the time in TimeFormat.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error { return t.Time.UnmarshalJSON(b) }

// String gives the time in TimeFormat.
func (t Time) String() string { return t.UTC().Format(TimeFormat) }

// Upload is the duty to deliver one voucher for one order, as it is shown to people and programs.
// Fields that are unknown are left out of its JSON.
type Upload struct {
	ID           string    `json:"id"`
	Account      string    `json:"account"`
	OrderID      string    `json:"orderId"`
	UserID       string    `json:"userId,omitempty"`
	Reference    string    `json:"reference,omitempty"`
	State        State     `json:"state"`
	Outcome      Outcome   `json:"outcome,omitempty"` // of the last attempt that ended
	AttemptCount int       `json:"attemptCount"`      // of all attempts, trimmed ones too
	Refusals     int       `json:"refusals"`          // spent of the budget
	RequestID    string    `json:"requestId,omitempty"`
	Code         string    `json:"code,omitempty"`
	Msg          string    `json:"msg,omitempty"`
	SHA256       string    `json:"sha256"` // of the voucher, hex
	Size         int64     `json:"size"`   // of the voucher, bytes
	MediaType    string    `json:"mediaType,omitempty"`
	Generation   int64     `json:"generation"` // tasks put for it so far; 0: it waits in its order queue
	Duplicate    bool      `json:"duplicate,omitempty"`
	Spooled      bool      `json:"spooled,omitempty"` // it waits outside the ledger for Redis to come back
	CreatedAt    Time      `json:"createdAt"`
	UpdatedAt    Time      `json:"updatedAt"`
	NextAttempt  Time      `json:"nextAttemptAt,omitzero"`
	ExpiresAt    Time      `json:"expiresAt,omitzero"`
	DeliveredAt  Time      `json:"deliveredAt,omitzero"`
	Attempts     []Attempt `json:"attempts,omitempty"`
	Actions      []Action  `json:"actions,omitempty"` // the last 50, oldest first

	// StoreKey is where the blob store has the voucher; empty when it does not.
	StoreKey string `json:"-"`
	// CRC32C is the voucher's, in hex; empty when it is not known.
	CRC32C string `json:"-"`
	// Inline says that the ledger keeps the voucher itself.
	Inline bool `json:"-"`
	// EndedAt is when it came to its final state; zero while it is unfinished.
	EndedAt Time `json:"-"`
	// Since is when its present budget and age limit began: its creation, or the last retry.
	Since Time `json:"-"`
}

// Kept says whether the voucher is still kept, wherever it lies.
func (u Upload) Kept() bool { return u.Inline || u.StoreKey != "" }

// Attempt is one signed request.
type Attempt struct {
	Number     int     `json:"number"`
	Generation int64   `json:"generation"`
	StartedAt  Time    `json:"startedAt"`
	EndedAt    Time    `json:"endedAt,omitzero"`
	DurationMS int64   `json:"durationMs,omitempty"`
	Outcome    Outcome `json:"outcome,omitempty"` // absent while it is under way
	HTTPStatus int     `json:"httpStatus,omitempty"`
	Code       string  `json:"code,omitempty"`
	RequestID  string  `json:"requestId,omitempty"`
	DevelopID  string  `json:"developId,omitempty"`
	Msg        string  `json:"msg,omitempty"`
	Nonce      string  `json:"nonce"`
	Worker     string  `json:"worker"`
	Error      string  `json:"error,omitempty"`
	TraceID    string  `json:"traceId,omitempty"`
}

// The names of actions.
const (
	ActionRetry   = "retry"   // sent again with a fresh budget; a waiting one at once
	ActionDiscard = "discard" // given up on
	ActionAgain   = "again"   // enqueued again after its end
	ActionReplace = "replace" // discarded for another voucher of its order
)

// Action is something that a person did to an upload.
type Action struct {
	At     Time   `json:"at"`
	By     string `json:"by,omitempty"`
	Action string `json:"action"`
	State  State  `json:"state"` // in which the upload was
	Reason string `json:"reason,omitempty"`
}
