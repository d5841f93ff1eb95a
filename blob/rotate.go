package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// ErrCurrent says that a voucher is encrypted to the recipients of today already, and to nobody else.
var ErrCurrent = errors.New("voucher is encrypted to the recipients of today already")

// Rotation encrypts vouchers to the recipients of today that were put in plain, or encrypted to
// others. It is safe for concurrent use.
type Rotation struct {
	store *Encrypted
	ours  []age.Identity // of each recipient the one that is here, if one is
}

// Rotation prepares one for the vouchers of a store, and for those kept elsewhere that its keys
// encrypt. Of one recipient at least the identity must be here: what nobody can open any more must
// not take the place of what somebody can.
func (s *Encrypted) Rotation() (*Rotation, error) {
	if len(s.keys.Recipients) == 0 {
		return nil, errors.New("there is nothing to encrypt to: set VOUCHERD_ENCRYPT_TO")
	}
	r := &Rotation{store: s}
	for _, to := range s.keys.Recipients {
		var empty bytes.Buffer
		w, err := age.Encrypt(&empty, to)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("encrypt to a recipient of today: %w", err)
		}
		for _, id := range s.keys.Identities {
			if _, err = age.Decrypt(bytes.NewReader(empty.Bytes()), id); err == nil {
				r.ours = append(r.ours, id)
				break
			}
		}
	}
	if len(r.ours) == 0 {
		return nil, errors.New("no identity here belongs to a recipient of VOUCHERD_ENCRYPT_TO, so what would be encrypted to these could not be opened: " +
			"add it to the file that VOUCHERD_IDENTITY_FILE names")
	}
	return r, nil
}

// Voucher puts a voucher of the store again, encrypted to the recipients of today, and gives its
// entry, which has another key. Nobody has claimed it. Errors: ErrCurrent, ErrLocked, those of Open
// and Put.
func (r *Rotation) Voucher(ctx context.Context, meta Meta, e Entry) (Entry, error) {
	if s, encrypted := readSealed(e); encrypted {
		kept, err := r.store.Store.Open(ctx, s.kept)
		if err != nil {
			return Entry{}, err
		}
		current := r.current(kept)
		if err = kept.Close(); err != nil || current {
			return Entry{}, errors.Join(err, ErrCurrent)
		}
	}
	plain, err := r.store.Open(ctx, e)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = plain.Close() }()
	return r.store.Put(ctx, meta, plain)
}

// Pieces is Voucher for one that is kept elsewhere, in pieces; see Keys.Seal.
func (r *Rotation) Pieces(pieces []string, e Entry) (kept []byte, again Entry, err error) {
	if _, encrypted := readSealed(e); encrypted && r.current(strings.NewReader(strings.Join(pieces, ""))) {
		return nil, Entry{}, ErrCurrent
	}
	plain, err := r.store.keys.Unseal(pieces, e)
	if err != nil {
		return nil, Entry{}, err
	}
	defer func() { _ = plain.Close() }()
	voucher, err := io.ReadAll(plain)
	if err != nil {
		return nil, Entry{}, err
	}
	return r.store.keys.Seal(voucher)
}

// current says whether a voucher is encrypted to each recipient of today and to nobody else. It cannot
// be told of a recipient whose identity is elsewhere.
func (r *Rotation) current(kept io.Reader) bool {
	header, err := age.ExtractHeader(kept)
	if err != nil || len(r.ours) < len(r.store.keys.Recipients) {
		return false
	}
	for _, id := range r.ours {
		to := 0
		if _, err = age.DecryptHeader(header, counted{id, &to}); err != nil || to != len(r.ours) {
			return false
		}
	}
	return true
}

// counted is an identity that counts to how many recipients it sees a voucher encrypted.
type counted struct {
	age.Identity

	to *int
}

// Unwrap implements age.Identity.
func (c counted) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	*c.to = len(stanzas)
	return c.Identity.Unwrap(stanzas)
}
