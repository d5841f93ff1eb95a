// Package naive is the queue that one writes in an afternoon: the voucher rides in the task as
// base64, the handler makes the call, asynq does the rest. It keeps no record, and what it cannot
// deliver asynq archives. The benchmark holds voucherd against it, so it is given pooled
// connections and as many of them as voucherd has.
package naive

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/pandapon"
)

// Queue is the asynq queue of the tasks.
const Queue = "naive"

// payload is what a task carries, and what the API takes.
type payload struct {
	Base64  string `json:"base64"`
	OrderID string `json:"orderId"`
}

// Producer gives what enqueues vouchers, safe for concurrent use. The client stays the caller's to
// close. Retention is how long asynq keeps a finished task; 0: not at all.
func Producer(rdb redis.UniversalClient, retention time.Duration) func(ctx context.Context, orderID string, voucher []byte) error {
	queue := asynq.NewClientFromRedisClient(rdb)
	return func(ctx context.Context, orderID string, voucher []byte) error {
		text, err := json.Marshal(payload{Base64: base64.StdEncoding.EncodeToString(voucher), OrderID: orderID})
		if err != nil {
			return fmt.Errorf("write the task of %s: %w", orderID, err)
		}
		_, err = queue.EnqueueContext(ctx, asynq.NewTask("voucher:naive", text),
			asynq.Queue(Queue), asynq.TaskID(orderID), asynq.MaxRetry(25), asynq.Timeout(time.Minute), asynq.Retention(retention))
		// A client that got no answer in time asks again, and finds its own task.
		if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
			return fmt.Errorf("enqueue %s: %w", orderID, err)
		}
		return nil
	}
}

// Handler delivers. It is safe for concurrent use.
type Handler struct {
	HTTP        *http.Client
	URL         string
	Credentials pandapon.Credentials
}

// ProcessTask implements asynq.Handler.
func (h *Handler) ProcessTask(ctx context.Context, t *asynq.Task) error {
	var p payload
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	Sign(req, h.Credentials)
	return Send(h.HTTP, req)
}

// Sign puts the API's headers on a request.
func Sign(req *http.Request, c pandapon.Credentials) {
	timestamp, nonce := strconv.FormatInt(time.Now().UnixMilli(), 10), pandapon.NewNonce()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("access-key", c.AccessKey)
	req.Header.Set("user-id", c.UserID)
	req.Header.Set("timestamp", timestamp)
	req.Header.Set("nonce-str", nonce)
	req.Header.Set("signature", pandapon.SignRule{}.Sign(c, timestamp, nonce))
}

var errRefused = errors.New("refused")

// Send makes the call and wants success.
func Send(c *http.Client, req *http.Request) error {
	resp, err := c.Do(req) //nolint:gosec // to the address that the benchmark sets
	if err != nil {
		return fmt.Errorf("call the API: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var answer struct {
		RequestID string `json:"requestId"`
		Code      int    `json:"code"`
		Msg       string `json:"msg"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK || answer.Code != http.StatusOK {
		return fmt.Errorf("%w: http %d, code %d", errRefused, resp.StatusCode, answer.Code)
	}
	return nil
}
