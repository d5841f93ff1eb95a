// Package blob keeps voucher bytes from the moment they are enqueued until they are
// delivered: in Redis, in a directory, or in S3. Tasks and records carry only a voucher's key.
//
// A voucher is put first and claimed later, when the ledger has an upload for it. What nobody
// claims can be listed and deleted.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// These two are about one voucher in a blob store that is in order. Every other error of Open means
// that the blob store is away, and says nothing about the voucher.
var (
	// ErrMissing says that the blob store does not hold this voucher.
	ErrMissing = errors.New("voucher is missing from the blob store")
	// ErrDamaged says that what is kept is not what was put.
	ErrDamaged = errors.New("voucher is damaged")
)

// Meta is what a blob store notes about a voucher, so that an upload can be made from it. Account
// matches [a-z0-9-]{1,32}; the rest is up to the caller.
type Meta struct {
	Account   string `json:"account"`
	OrderID   string `json:"orderId"`
	UserID    string `json:"userId,omitempty"`
	Reference string `json:"reference,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
	// CameAt is when the voucher was enqueued, if that was before Put.
	CameAt time.Time `json:"cameAt,omitzero"`
	// Plain is for Encrypted: the voucher before it was encrypted, known once it has been read.
	Plain *Entry `json:"plain,omitempty"`
}

// Entry names a voucher and says what its bytes must be.
type Entry struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // lower-case hex
	// CRC32C is the Castagnoli checksum, lower-case hex. Reading is checked by it, at a tenth of
	// the cost; without it, by SHA256. Of a voucher that is kept encrypted it says more (see sealed).
	CRC32C string `json:"crc32c,omitempty"`
}

// Unclaimed is a voucher that was put and not claimed. If its Put was cut off by a crash, only Key
// and Age are set.
type Unclaimed struct {
	Entry
	Meta

	Age time.Duration // since Put, by the blob store's own clock
}

// Store is what every kind of blob store does. All methods are safe for concurrent use, by several
// processes too.
type Store interface {
	// Put keeps what r gives, under a new random key, and makes it as durable as the blob store can
	// before it returns. On any error, r's own included (errors.Is finds it), nothing is left
	// behind; if the process dies in between, what is left is found by Unclaimed.
	Put(ctx context.Context, meta Meta, r io.Reader) (Entry, error)

	// Claim notes that the upload of the voucher's Meta needs it, durably, before it returns.
	// Claiming again changes nothing. ErrMissing says that the voucher is gone.
	Claim(ctx context.Context, key string) error

	// Open gives the voucher's bytes. The reader gives the last of them only after size and
	// checksum agree with e, else ErrDamaged. It keeps ctx for its reads. Not safe for concurrent
	// use.
	Open(ctx context.Context, e Entry) (io.ReadCloser, error)

	// Delete removes vouchers, claimed or not. One that is gone already is no error.
	Delete(ctx context.Context, keys ...string) error

	// Note writes what came of a voucher's upload beside it, where the blob store outlives
	// the ledger; an empty note takes it away. In a Redis store it does nothing.
	Note(ctx context.Context, key string, n Note) error

	// Retire deletes the bytes of vouchers that were delivered. Where the blob store
	// outlives the ledger what came of them stays, until ForgetRetired: a
	// ledger that has lost its last writes finds it with Noted.
	Retire(ctx context.Context, vouchers ...Retired) error

	// Noted gives what the blob store knows of a voucher, kept or retired. ErrMissing says that it
	// knows nothing, as of any in a Redis store; ErrDamaged, that all it gives is the note, where
	// that lies by itself.
	Noted(ctx context.Context, key string) (Stored, error)

	// ForgetRetired removes what is noted of an account's vouchers that were retired at least
	// olderThan ago, an hour's together.
	ForgetRetired(ctx context.Context, account string, olderThan time.Duration) error

	// Unclaimed lists vouchers of an account put at least olderThan ago and not claimed, at most
	// limit of them. It costs what there is of these, not what the blob store holds. The caller
	// decides: Claim or Delete.
	Unclaimed(ctx context.Context, account string, olderThan time.Duration, limit int) ([]Unclaimed, error)

	// All gives every claimed voucher of every account, in no order, as it was at some time during
	// the walk, and what is noted of those that were retired. An error that is ErrMissing or
	// ErrDamaged is about the one voucher beside it; any other ends the walk. ErrMissing is what a
	// crash during Retire leaves: Delete it. A store that is lost with the ledger gives none.
	All(ctx context.Context) iter.Seq2[Stored, error]

	// Check tells whether the blob store can be read and written now.
	Check(ctx context.Context) error

	// Identity names this store. Two processes whose names differ do not see each other's vouchers.
	Identity(ctx context.Context) (string, error)

	// Close gives back what the blob store itself has taken; a Redis client that it was given stays
	// open.
	Close() error
}

// Open opens the blob store that a setting names: "redis:" is the Redis behind rdb, "file:///dir"
// an existing directory, "s3://bucket/prefix?endpoint=URL" a bucket. rdb may be nil for the last two. Errors do not repeat the setting, which
// may hold credentials.
func Open(ctx context.Context, setting string, rdb redis.UniversalClient) (Store, error) {
	scheme, rest, _ := strings.Cut(setting, ":")
	switch scheme {
	case "redis":
		if rest != "" {
			return nil, errors.New("a blob store in Redis is written redis: alone, and lies in the Redis that holds the queue")
		}
		if rdb == nil {
			return nil, errors.New("a blob store in Redis needs a Redis client")
		}
		return NewRedis(rdb), nil
	case "file":
		dir, err := filePath(setting)
		if err != nil {
			return nil, err
		}
		return OpenDir(ctx, dir)
	case "s3":
		return OpenS3(ctx, setting)
	default:
		return nil, errors.New("unknown kind of blob store: use redis:, file:///dir or s3://bucket/prefix")
	}
}

func filePath(setting string) (string, error) {
	u, err := url.Parse(setting)
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err // The rest repeats the setting.
		}
		return "", fmt.Errorf("store directory: %w", err)
	}
	if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("a blob store in a directory is written with three slashes and a whole path: file:///dir")
	}
	return filepath.Clean(u.Path), nil
}
