package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/voucherd/voucherd/internal/accountname"
	"github.com/voucherd/voucherd/internal/pieces"
)

// NewUpload is what Open records. The voucher lies in the blob store already, or comes along in
// Pieces.
type NewUpload struct {
	Account, OrderID, UserID, Reference string
	SHA256                              string // of the voucher, hex
	CRC32C                              string // of the voucher, hex; "": not known
	Size                                int64  // of the voucher, bytes
	MediaType                           string
	StoreKey                            string // where the blob store has the voucher; "": it comes along in Inline
	Again                               bool   // revives an upload that has ended
	Replace                             bool   // discards those of the same order that wait in its order queue and were never sent
	Who                                 Who    // who says so, for Again and Replace
	// Ended records it as rejected or expired already: what a blob store still knew of an upload
	// whose record was lost.
	Ended State
	// Token names this call, unique among all, should it be made again because its reply was lost: with
	// Again it revives an upload once. "": the store key names it; a call without one is not made again.
	Token  string
	Inline []byte // the voucher, when the ledger shall keep it itself, in the same step; at most InlineMost bytes
	// Task is the message of the task of generation 1, as asynq writes it, to be put in the same step
	// if the upload is new and the head of its order queue; nil: the caller puts it.
	Task []byte
}

const (
	// InlineMost is the largest voucher, in bytes, that the ledger can keep itself.
	InlineMost = 2 * pieces.Most
	// beginMost is the largest of these that comes along with Begin. Larger ones are read by
	// themselves: passing them through a script costs Redis more.
	beginMost = 64 << 10
)

// Opened says what Open found or made.
type Opened struct {
	ID         string
	Duplicate  bool   // it was there already
	Revived    bool   // it had ended, and is queued again
	Generation int64  // of the task to put; 0: none, another upload of the order comes first
	Drop       string // a store key that nothing holds any more; "" if none
	Holds      string // of an unfinished one that was there already: the other store key that it holds; "" if none
	At         Time   // when, by Redis' clock
	Since      Time   // its place in its order queue, when it was made or revived: At, or a little later
	Pending    int64  // tasks that are pending, its own among them, which was put with it; 0: it was not
}

// Open records an upload, or finds the record of the same voucher for the same order. The caller
// puts the task of the generation it gives, and deletes what is to be dropped. Calling it twice is
// harmless.
func (l *Ledger) Open(ctx context.Context, u NewUpload) (Opened, error) {
	id := UploadID(u.Account, u.UserID, u.OrderID, u.SHA256)
	account, key, err := ParseID(id)
	if err != nil {
		return Opened{}, fmt.Errorf("account: %q %s", clip(u.Account, 80), accountname.Rule)
	}
	hash, err := hex.DecodeString(u.SHA256)
	if err != nil || len(hash) != sha256.Size {
		return Opened{}, fmt.Errorf("the voucher's hash: %d characters, want the %d of a SHA-256 in hex",
			len(u.SHA256), hex.EncodedLen(sha256.Size))
	}
	if u.Ended != "" && u.Ended != Rejected && u.Ended != Expired {
		return Opened{}, fmt.Errorf("an upload is recorded as rejected or expired already, not as %q", u.Ended)
	}
	if err = l.noteAccount(ctx, account); err != nil {
		return Opened{}, err
	}
	args := []any{
		key, u.OrderID, u.UserID, u.Reference, base64.RawURLEncoding.EncodeToString(hash), u.Size, u.MediaType, u.StoreKey,
		flag(u.Again), flag(u.Replace), string(u.Ended), l.set.KeepDead.Milliseconds(), l.set.Grace.Milliseconds(), u.CRC32C,
	}
	args = append(args, cmp.Or(u.Token, u.StoreKey, rand.Text()), u.Who.text(), u.Task)
	for _, p := range pieces.Cut(u.Inline) {
		args = append(args, p)
	}
	r, err := l.run(ctx, l.scripts.open, account, args...)
	if err != nil {
		return Opened{}, fmt.Errorf("record upload %s: %w", id, err)
	}
	what := r.text(0)
	return Opened{
		ID: id, Duplicate: what == "duplicate", Revived: what == "revived", Generation: r.num(1), Drop: r.text(2),
		At: at(r.num(3)), Since: at(r.num(4)), Holds: r.text(5), Pending: r.num(6),
	}, nil
}

// noteAccount makes an account known, once a process: workers do so again now and then, should
// Redis have forgotten.
func (l *Ledger) noteAccount(ctx context.Context, account string) error {
	if _, ok := l.accounts.Load(account); ok {
		return nil
	}
	if err := l.rdb.SAdd(ctx, accountsKey, account).Err(); err != nil {
		return fmt.Errorf("note account %s: %w", account, err)
	}
	l.accounts.Store(account, true)
	return nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
