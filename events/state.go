package events

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/ledger"
)

// What is kept of an account's webhooks, beside its other keys:
//
//	webhook        hash    cursor (ms): all before it was told, but for refused (JSON); told,
//	                       told_reason: the opening of the breaker that was told and not yet its
//	                       end; error, failing_since (ms)
//	webhook:turn   string  whose turn it is to send
//	webhook:sent   list    the last deliveries, newest first
func key(account string) string { return "voucherd:{" + ledger.Queue(account) + "}:webhook" }

// keptSent is how many deliveries are kept for people to see.
const keptSent = 50

// Delivery is one try to deliver an event.
type Delivery struct {
	At       ledger.Time `json:"at"`
	EventID  string      `json:"eventId"`
	Type     Type        `json:"type"`
	UploadID string      `json:"uploadId,omitempty"`
	OrderID  string      `json:"orderId,omitempty"`
	Try      int         `json:"try"`
	TookMS   int64       `json:"tookMs"`
	Error    string      `json:"error,omitempty"` // why it did not arrive
	GivenUp  bool        `json:"givenUp,omitempty"`
}

// Status is how an account's webhooks stand.
type Status struct {
	Cursor       ledger.Time   // all that ended until then was told, or refused
	Lag          time.Duration // since the end of the oldest upload that is not told; 0: none
	FailingSince ledger.Time   // zero: the last event that was sent arrived
	Error        string        // why not
	Recent       []Delivery    // newest first
}

// ReadStatus reads how an account's webhooks stand; a *tasks.Client is what it reads from. It says
// false when the account never had any.
func ReadStatus(ctx context.Context, rdb redis.UniversalClient, from source, account string) (Status, bool, error) {
	f, err := rdb.HGetAll(ctx, key(account)).Result()
	if err != nil || len(f) == 0 {
		return Status{}, false, wrap(account, err)
	}
	s := Status{Cursor: stamp(f["cursor"]), FailingSince: stamp(f["failing_since"]), Error: f["error"]}
	behind, err := from.Finished(ctx, account, s.Cursor, 1)
	if err != nil {
		return Status{}, false, err
	}
	var oldest ledger.Time
	if len(behind.Uploads) > 0 {
		oldest = behind.Uploads[0].EndedAt
	}
	refused, err := readRefusals(f["refused"])
	if err != nil {
		return Status{}, false, wrap(account, err)
	}
	if len(refused) > 0 {
		oldest = earlier(oldest, refused[0].Ended)
	}
	if !oldest.IsZero() {
		clock := rdb.Time(ctx)
		if err = clock.Err(); err != nil {
			return Status{}, false, wrap(account, err)
		}
		s.Lag = max(0, clock.Val().Sub(oldest.Time))
	}
	rows, err := rdb.LRange(ctx, key(account)+":sent", 0, -1).Result()
	if err != nil {
		return Status{}, false, wrap(account, err)
	}
	for _, row := range rows {
		var d Delivery
		if err := json.Unmarshal([]byte(row), &d); err != nil {
			return Status{}, false, wrap(account, err)
		}
		s.Recent = append(s.Recent, d)
	}
	return s, true, nil
}

func wrap(account string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("webhooks of account %s: %w", account, err)
}

// stamp reads milliseconds; what is missing is the zero time.
func stamp(s string) ledger.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms == 0 {
		return ledger.Time{}
	}
	return ledger.Time{Time: time.UnixMilli(ms).UTC()}
}

// state keeps an account's progress in Redis.
type state struct {
	rdb     redis.UniversalClient
	account string
	me      string // this sender
}

// take takes or renews the turn, unless it is another's.
func (s state) take(ctx context.Context, turn time.Duration) (bool, error) {
	n, err := redis.NewScript(`local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`).Run(ctx, s.rdb, []string{key(s.account) + ":turn"}, s.me, turn.Milliseconds()).Int()
	return n == 1, wrap(s.account, err)
}

// release gives the turn back, if it is still this one's.
func (s state) release(ctx context.Context) error {
	err := redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`).Run(ctx, s.rdb, []string{key(s.account) + ":turn"}, s.me).Err()
	return wrap(s.account, err)
}

// begin lets webhooks that are new begin with what ends now. Those that were off for a while go on
// where they stopped: whether they were, or the workers, nobody knows.
func (s state) begin(ctx context.Context, now ledger.Time) error {
	before := now.UnixMilli() - 1 // what ends within this millisecond ends now
	return wrap(s.account, s.rdb.HSetNX(ctx, key(s.account), "cursor", before).Err())
}

// load reads where to go on.
func (s state) load(ctx context.Context, now ledger.Time) (progress, error) {
	if err := s.begin(ctx, now); err != nil {
		return progress{}, err
	}
	f, err := s.rdb.HGetAll(ctx, key(s.account)).Result()
	if err != nil {
		return progress{}, wrap(s.account, err)
	}
	refused, err := readRefusals(f["refused"])
	return progress{
		cursor: stamp(f["cursor"]), refused: refused, told: Breaker{Account: s.account, Reason: f["told_reason"], Since: stamp(f["told"])},
	}, wrap(s.account, err)
}

// progress is what is saved together.
type progress struct {
	cursor  ledger.Time
	refused []refusal // until the cursor, oldest first
	told    Breaker
	failing ledger.Time
	cause   string
	sent    []Delivery // oldest first
}

// refusal is the event of an upload that was refused, or waits behind such a one of its order. What
// comes after it is not told again because of it.
type refusal struct {
	Upload string      `json:"upload"`
	Ended  ledger.Time `json:"ended"`
	First  ledger.Time `json:"first"` // when it was first refused, by the sender's clock; zero: it waits
}

// readRefusals reads what save wrote; "" is none.
func readRefusals(text string) (all []refusal, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &all)
	}
	return all, err
}

func (s state) save(ctx context.Context, p progress) error {
	var told, failing int64
	if p.told.Reason != "" {
		told = p.told.Since.UnixMilli()
	}
	if !p.failing.IsZero() {
		failing = p.failing.UnixMilli()
	}
	var rows []any
	for _, d := range p.sent[max(0, len(p.sent)-keptSent):] {
		row, err := json.Marshal(d)
		if err != nil {
			return wrap(s.account, err)
		}
		rows = append(rows, row)
	}
	refused, err := json.Marshal(p.refused)
	if err != nil {
		return wrap(s.account, err)
	}
	k := key(s.account)
	_, err = s.rdb.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, k, "cursor", p.cursor.UnixMilli(), "refused", refused, "told", told, "told_reason", p.told.Reason,
			"error", p.cause, "failing_since", failing)
		if len(rows) > 0 {
			pipe.LPush(ctx, k+":sent", rows...)
			pipe.LTrim(ctx, k+":sent", 0, keptSent-1)
		}
		return nil
	})
	return wrap(s.account, err)
}
