package tasks

import (
	"encoding/json"
	"errors"
	"fmt"

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
