package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hibiken/asynq"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/voucherd/voucherd/ledger"
)

// TypeUpload is the asynq type of the tasks that deliver a voucher.
const TypeUpload = "voucher:upload"

// payloadVersion is the version of Payload that this code writes, and the newest it reads.
const payloadVersion = 1

// Errors of ParsePayload.
var (
	ErrPayload      = errors.New("not a voucher task's payload")
	ErrNewerPayload = errors.New("the task was put by a newer version")
)

// Payload is the wire contract of the queue: all that a task carries. The voucher itself lies in
// the store.
type Payload struct {
	Version    int    `json:"v"`
	ID         string `json:"id"`  // of the upload
	Generation int64  `json:"gen"` // of all tasks put for the upload, only the newest counts
}

// Encode writes a payload, of less than 1 KB.
func (p Payload) Encode() []byte {
	return fmt.Appendf(nil, `{"v":%d,"id":%q,"gen":%d}`, payloadVersion, p.ID, p.Generation)
}

// ParsePayload reads a payload. It gives ErrNewerPayload for one that a newer version wrote, and
// ErrPayload for what is none.
func ParsePayload(b []byte) (Payload, error) {
	var p Payload
	if err := json.Unmarshal(b, &p); err != nil {
		return Payload{}, ErrPayload
	}
	if p.Version > payloadVersion {
		return Payload{}, ErrNewerPayload
	}
	if _, _, err := ledger.ParseID(p.ID); err != nil || p.Version < 1 || p.Generation < 1 {
		return Payload{}, ErrPayload
	}
	return p, nil
}

// Put puts the task of an upload's generation on its account's queue, due after wait. A task that
// is there already is as good. A generation of 0 puts none.
func (c *Client) Put(ctx context.Context, t ledger.Task, wait time.Duration) error {
	return c.explain(c.put(ctx, t, wait))
}

func (c *Client) put(ctx context.Context, t ledger.Task, wait time.Duration) error {
	if t.Generation == 0 {
		return nil
	}
	account, _, err := ledger.ParseID(t.ID)
	if err != nil {
		return err
	}
	task, opts := c.newTask(ctx, account, t)
	if wait > 0 {
		opts = append(opts, asynq.ProcessIn(wait))
	}
	err = c.queue.put(ctx, task, opts...)
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("put the task of %s: %w", t.ID, err)
	}
	if t.Replaces != 0 {
		c.drop(account, t.ID, t.Replaces)
	}
	return nil
}

// newTask gives a task of an account as asynq takes it.
func (c *Client) newTask(ctx context.Context, account string, t ledger.Task) (*asynq.Task, []asynq.Option) {
	return asynq.NewTaskWithHeaders(TypeUpload, Payload{ID: t.ID, Generation: t.Generation}.Encode(), traceOf(ctx)), []asynq.Option{
		asynq.TaskID(ledger.TaskID(t.ID, t.Generation)),
		asynq.Queue(ledger.Queue(account)),
		// The policy alone decides when an upload ends: asynq shall never archive it. MaxInt would
		// become -1.
		asynq.MaxRetry(math.MaxInt32),
		// A task may wait long in its handler; 0 would become asynq's 30 minutes.
		asynq.Timeout(taskTimeout),
		asynq.Retention(c.cfg.Retention),
	}
}

// traceOf gives the headers that put a task's attempts into the trace of the context's span; nil
// when it has none.
func traceOf(ctx context.Context) map[string]string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	headers := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, headers)
	return headers
}

// taskTimeout is far beyond the longest that a handler keeps a task (an hour and a call).
const taskTimeout = 24 * time.Hour

// drop removes a task that no longer counts. If it cannot, a worker drops it when it comes up.
func (c *Client) drop(account, id string, generation int64) {
	_ = c.inspector.DeleteTask(ledger.Queue(account), ledger.TaskID(id, generation)) // a courtesy
}
