package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

//nolint:gochecknoglobals // a flag of the test binary must be known before the tests run
var update = flag.Bool("update", false, "write the files of testdata")

// voucherSHA256 is of a voucher that every id here is for.
const voucherSHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

// task is what a program that reads the queue itself can see.
type task struct {
	Queue   string          `json:"queue"`
	Type    string          `json:"type"`
	TaskID  string          `json:"taskId"`
	Payload json.RawMessage `json:"payload"`
}

// one is a feed's source with one upload.
type one struct{ ledger.Upload }

func (o one) Finished(context.Context, string, ledger.Time, int) (ledger.Finished, error) {
	return ledger.Finished{Uploads: []ledger.Upload{o.Upload}, Until: o.EndedAt}, nil
}

// TestPromises holds what docs/reference.md promises of JSON, ids and tasks. A field may be added
// (-update writes the files); one that changes or goes breaks the programs of others.
func TestPromises(t *testing.T) {
	t.Parallel()
	at := ledger.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}
	id := ledger.UploadID("shop", "user", "1022505290408395575", voucherSHA256)
	u := ledger.Upload{
		ID: id, Account: "shop", OrderID: "1022505290408395575", UserID: "user", Reference: "invoice 2041",
		State: ledger.Delivered, Outcome: ledger.OutcomeDelivered, AttemptCount: 2, Refusals: 1, RequestID: "r2", Code: "200", Msg: "ok",
		SHA256: voucherSHA256, Size: 3, MediaType: "image/png", Generation: 2, Duplicate: true, Spooled: true,
		CreatedAt: at, UpdatedAt: at, NextAttempt: at, ExpiresAt: at, DeliveredAt: at, EndedAt: at,
	}
	page, err := events.NewFeed(one{u}).Read(t.Context(), events.Query{})
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	u.Attempts = []ledger.Attempt{{
		Number: 1, Generation: 1, StartedAt: at, EndedAt: at, DurationMS: 20, Outcome: ledger.OutcomeRefused, HTTPStatus: 200, Code: "4001",
		RequestID: "r1", DevelopID: "d", Msg: "no", Nonce: "n", Worker: "host:1", Error: "e", TraceID: "t",
	}}
	u.Actions = []ledger.Action{{At: at, By: "ann@host", Action: ledger.ActionRetry, State: ledger.Rejected, Reason: "month end"}}
	complete(t, u)
	complete(t, u.Attempts[0])
	complete(t, u.Actions[0])

	golden(t, "upload", u, &ledger.Upload{})
	golden(t, "event", page.Events[0], &events.Event{})
	golden(t, "breaker", events.Event{
		ID: "evt_shop_opened_1767323045006", Type: events.BreakerOpened, Timestamp: at,
		Data: events.Data{Breaker: &events.Breaker{Account: "shop", Reason: "credentials", Since: at}},
	}, &events.Event{})
	golden(t, "task", task{
		Queue: ledger.Queue("shop"), Type: tasks.TypeUpload, TaskID: ledger.TaskID(id, 2),
		Payload: tasks.Payload{Version: 1, ID: id, Generation: 2}.Encode(),
	}, &task{})
}

// complete fails when a field that is in the JSON is left out here.
func complete(t *testing.T, v any) {
	t.Helper()
	value := reflect.ValueOf(v)
	for i := range value.NumField() {
		if f := value.Type().Field(i); f.Tag.Get("json") != "-" && value.Field(i).IsZero() {
			t.Errorf("%T: %s is not set", v, f.Name)
		}
	}
}

// golden compares a value's JSON with the file's, and reads the file back into the value.
func golden(t *testing.T, name string, value, back any) {
	t.Helper()
	file := "testdata/" + name + ".json"
	is, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if is = append(is, '\n'); *update {
		if err = os.WriteFile(file, is, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(is), "\n")); d != "" {
		t.Errorf("%s is no longer what was promised (-promised +is):\n%s", file, d)
	}
	if err = json.Unmarshal(want, back); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(back, "", "  ")
	if err != nil || !bytes.Equal(append(again, '\n'), want) {
		t.Errorf("%s reads as %s, %v", file, again, err)
	}
}
