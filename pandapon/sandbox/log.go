package sandbox

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Request is one line of the log: a call as it arrived and what became of it. It is logged on
// arrival and grows until AnsweredAt is set; after that it never changes. Texts that came from the
// caller are cut to 256 bytes.
type Request struct {
	// Number counts requests from 1, in order of arrival. It is never reused.
	Number int `json:"number"`
	// At is the arrival, AnsweredAt the moment just before the answer left, or the connection was
	// dropped. Zero while the request is under way.
	At         time.Time `json:"at"`
	AnsweredAt time.Time `json:"answeredAt,omitzero"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	AccessKey  string    `json:"accessKey,omitempty"`
	UserID     string    `json:"userId,omitempty"`
	Nonce      string    `json:"nonce,omitempty"`
	Timestamp  string    `json:"timestamp,omitempty"`
	OrderID    string    `json:"orderId,omitempty"`
	// SHA256 (hex) and Size are those of the decoded voucher. On other paths than the upload's they
	// are those of the body.
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size"`
	// Complete says that the body arrived whole.
	Complete bool `json:"complete"`
	// Accepted says that the API would count this voucher as delivered, even when a fault kept the
	// answer from the caller. False for other calls.
	Accepted bool `json:"accepted"`
	// Fault is the fault that struck; empty when none did.
	Fault FaultKind `json:"fault,omitempty"`
	// HTTPStatus and Code are what was answered; 0 when nothing readable was.
	HTTPStatus int `json:"httpStatus,omitempty"`
	Code       int `json:"code,omitempty"`
	// RequestID is the id the API gave this call, whether or not the answer that held it arrived.
	// Empty when a fault let neither happen.
	RequestID string `json:"requestId,omitempty"`
	// Problem is what the API would object to; empty when all is in order. It is set even when a
	// fault kept the API from saying so.
	Problem string `json:"problem,omitempty"`
}

// requestLog holds the newest max requests. entries[i].Number is first+i.
type requestLog struct {
	max int

	mu      sync.RWMutex
	entries []Request
	first   int
	changed chan struct{} // closed at the next change; nil while nobody waits
}

func newRequestLog(maxRequests int) *requestLog {
	return &requestLog{max: maxRequests, first: 1}
}

// begin logs r under the next number and returns it with that number.
func (l *requestLog) begin(r Request) Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Number = l.first + len(l.entries)
	l.entries = append(l.entries, r)
	if len(l.entries) > l.max {
		l.entries = l.entries[1:]
		l.first++
	}
	l.signal()
	return r
}

// update replaces the entry of r.Number, unless it has left the log.
func (l *requestLog) update(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := r.Number - l.first
	if i < 0 {
		return
	}
	l.entries[i] = r
	l.signal()
}

func (l *requestLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first += len(l.entries)
	l.entries = nil
	l.signal()
}

func (l *requestLog) size() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.entries)
}

// page copies at most limit requests with numbers above since; a negative limit means all.
func (l *requestLog) page(since, limit int) []Request {
	l.mu.RLock()
	defer l.mu.RUnlock()
	from := min(max(since+1-l.first, 0), len(l.entries))
	rest := l.entries[from:]
	if limit >= 0 && len(rest) > limit {
		rest = rest[:limit]
	}
	return slices.Clone(rest)
}

// signal wakes all who wait. The caller holds the lock.
func (l *requestLog) signal() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wait returns when satisfied says so, or with ctx's error.
func (l *requestLog) wait(ctx context.Context, satisfied func([]Request) bool) error {
	for {
		l.mu.Lock()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed, enough := l.changed, satisfied(l.entries)
		l.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for requests: %w", ctx.Err())
		}
	}
}
