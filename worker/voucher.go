package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// vouchers gives the bytes of uploads, from the ledger or the blob store.
type vouchers struct {
	ledger *ledger.Ledger
	store  blob.Store
	keys   blob.Keys
}

// open gives the voucher, which may have come along with Begin.
func (v vouchers) open(ctx context.Context, run ledger.Running) (io.ReadCloser, error) {
	e := blob.Entry{Key: run.StoreKey, Size: run.Size, SHA256: run.SHA256, CRC32C: run.CRC32C}
	if run.Inline {
		return v.openInline(ctx, run, e)
	}
	if v.ledger.Settings().KeepSent > 0 { // that it is still there does not mean that it is still to be sent
		if err := v.knownDelivery(ctx, run.StoreKey); err != nil {
			return nil, err
		}
	}
	r, err := v.store.Open(ctx, e)
	if errors.Is(err, blob.ErrMissing) {
		if known := v.knownDelivery(ctx, run.StoreKey); known != nil {
			return nil, known
		}
		err = fmt.Errorf("%w; if redis has lost its last writes, it may have arrived", err)
	}
	return r, err
}

// openInline gives a voucher that the ledger keeps, which may have come along with Begin.
func (v vouchers) openInline(ctx context.Context, run ledger.Running, e blob.Entry) (io.ReadCloser, error) {
	if len(run.Pieces) == 0 {
		var err error
		run.Pieces, err = v.ledger.Voucher(ctx, run.ID)
		if errors.Is(err, ledger.ErrNotKept) {
			err = fmt.Errorf("%w: %s", blob.ErrMissing, run.ID)
		}
		if err != nil {
			return nil, err
		}
	}
	return v.keys.Unseal(run.Pieces, e)
}

// knownDelivery asks the blob store whether it knows a voucher as delivered: then it gives a
// *deliveredError. Where the store cannot tell, nothing may be sent or given up on: the error is its.
func (v vouchers) knownDelivery(ctx context.Context, storeKey string) error {
	n, err := v.store.Noted(ctx, storeKey)
	if err != nil && !errors.Is(err, blob.ErrMissing) && !errors.Is(err, blob.ErrDamaged) {
		return err
	}
	if n.State != string(ledger.Delivered) {
		return nil
	}
	var a ledger.Attempt
	if err := json.Unmarshal(n.Result, &a); err != nil {
		return nil //nolint:nilerr // as good as none
	}
	return &deliveredError{a}
}

// deliveredError says that an upload is not sent, because its blob store knows that it was
// delivered.
type deliveredError struct{ attempt ledger.Attempt }

func (*deliveredError) Error() string { return "delivered already, as the blob store knows" }

// encodeDelivery writes an attempt for the store.
func encodeDelivery(a ledger.Attempt) json.RawMessage {
	text, err := json.Marshal(a)
	if err != nil { // times beyond the year 9999
		return nil
	}
	return text
}
