package tasks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
)

// DefaultAccount is the account of a request that names none.
const DefaultAccount = "default"

// Config is what a Client needs. Redis and Store are required; they stay the caller's to close.
type Config struct {
	Redis           redis.UniversalClient
	Store           blob.Store
	Ledger          *ledger.Ledger // nil: a ledger in Redis with default settings
	InlineMost      int64          // larger vouchers go to the store, the others with the record; at most ledger.InlineMost
	MaxVoucherBytes int64          // 0: DefaultMaxVoucherBytes
	MediaTypes      []string       // nil: DefaultMediaTypes
	Keys            blob.Keys      // for vouchers that are kept with their records; Store has its own
	Retention       time.Duration  // how long asynq shows a finished task; 0: not at all

	// Patience is how long Enqueue tries again while Redis cannot be reached, as in a failover; 0:
	// not at all.
	Patience time.Duration
	// ReplicasAck is how many replicas of Redis must have an upload before Enqueue returns; 0: it
	// does not wait for any.
	ReplicasAck int
}

// ErrNotEnqueued means that the context ended before the upload was recorded: nothing is left of
// it, and enqueueing it again is safe.
var ErrNotEnqueued = errors.New("nothing was enqueued")

// Client enqueues vouchers, and asks and acts on uploads. It is safe for concurrent use.
type Client struct {
	cfg       Config
	ledger    *ledger.Ledger
	store     blob.Store
	wakeups   *wakeups
	queue     queue
	inspector *asynq.Inspector
	room      room
	spool     *spool   // nil: none
	bound     sync.Map // accounts whose blob store was compared with ours
}

// New gives a client.
func New(cfg Config) *Client {
	if cfg.MaxVoucherBytes <= 0 {
		cfg.MaxVoucherBytes = DefaultMaxVoucherBytes
	}
	if cfg.MediaTypes == nil {
		cfg.MediaTypes = DefaultMediaTypes()
	}
	if cfg.Ledger == nil {
		cfg.Ledger = ledger.New(cfg.Redis, ledger.Settings{})
	}
	w := &wakeups{rdb: cfg.Redis}
	return &Client{
		cfg: cfg, ledger: cfg.Ledger, store: cfg.Store,
		wakeups: w, queue: newQueue(cfg.Redis, w),
		inspector: asynq.NewInspectorFromRedisClient(cfg.Redis),
		room:      room{ledger: cfg.Ledger, looks: map[string]look{}},
	}
}

// Request is one voucher for one order.
type Request struct {
	Account   string    // "": DefaultAccount
	OrderID   string    // PandaPon's id of the order; as text, it has 19 digits
	UserID    string    // sub-account; "": the account's own
	Reference string    // the caller's own name for it; shown, never sent
	Voucher   io.Reader // the picture or PDF, raw
	Again     bool      // sends it again although the same voucher ended already, delivered or not
	Replace   bool      // discards vouchers of the same order that wait in its order queue and were never sent

	Who ledger.Who // who says Again or Replace, for the records

	token string // names the call, should it be made again; "": it is given one
}

// Enqueue enqueues a voucher. When it returns without an error, the voucher and its record are
// stored, and it will be delivered, or are recorded as not delivered with the reason.
//
// The same voucher for the same order is the same upload: enqueueing it again gives the record
// there is, marked Duplicate. A context that ends before the upload is recorded gives
// ErrNotEnqueued; one that ends later cuts nothing off, and ends Patience. A voucher that goes to a
// blob store in Redis can be tried again only if its reader is an io.Seeker. Errors: *InvalidError,
// ErrNotEnqueued, ErrNoRoom, *UnreachableError, *RefusedError, *ledger.ReplicasError, or the blob
// store's.
func (c *Client) Enqueue(ctx context.Context, r Request) (ledger.Upload, error) {
	u, err := c.enqueue(ctx, r)
	return u, c.explain(err)
}

func (c *Client) enqueue(ctx context.Context, r Request) (u ledger.Upload, err error) {
	if r.Account == "" {
		r.Account = DefaultAccount
	}
	if err = checkNames(r); err != nil {
		return u, err
	}
	s, err := c.sniff(r.Voucher)
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return u, notEnqueued(ctx)
	case err != nil:
		return u, err
	}
	return c.accept(ctx, r, s)
}

// direct enqueues a voucher in Redis.
func (c *Client) direct(ctx context.Context, r Request, s *source) (u ledger.Upload, err error) {
	var n *ledger.NewUpload // nil: nothing was recorded, and what the blob store has nobody was promised
	tried := false
	err = c.Patiently(ctx, func() (err error) {
		if n == nil {
			if n, err = c.prepare(ctx, r, s); err != nil || ctx.Err() != nil {
				return cmp.Or(err, ctx.Err())
			}
		}
		u, err = c.record(ctx, *n, tried)
		tried = true
		return err
	})
	if over := ctx.Err(); over != nil && !tried && errors.Is(err, over) {
		return ledger.Upload{}, notEnqueued(ctx)
	}
	return u, err
}

// notEnqueued says that nothing was enqueued, and why the context ended.
func notEnqueued(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w: %w: %w", ErrNotEnqueued, ctx.Err(), cause)
	}
	return fmt.Errorf("%w: %w", ErrNotEnqueued, ctx.Err())
}

// prepare stores a voucher that was looked at.
func (c *Client) prepare(ctx context.Context, r Request, s *source) (*ledger.NewUpload, error) {
	if err := c.room.check(ctx, r.Account); err != nil {
		return nil, err
	}
	if err := c.bindOnce(ctx, r.Account); err != nil {
		return nil, err
	}
	voucher, err := s.open()
	if err != nil {
		return nil, err
	}
	entry, inline, err := c.putVoucher(ctx, blob.Meta{
		Account: r.Account, OrderID: r.OrderID, UserID: r.UserID, Reference: r.Reference, MediaType: s.mediaType,
	}, voucher)
	if err != nil {
		return nil, fmt.Errorf("store the voucher: %w", err)
	}
	return &ledger.NewUpload{
		Account: r.Account, OrderID: r.OrderID, UserID: r.UserID, Reference: r.Reference, SHA256: entry.SHA256, CRC32C: entry.CRC32C,
		Size: entry.Size, MediaType: s.mediaType, StoreKey: entry.Key, Again: r.Again, Replace: r.Replace, Inline: inline, Who: r.Who,
		Token: cmp.Or(r.token, rand.Text()),
	}, nil
}

// putVoucher puts a voucher into the store, or gives it back when it is to be kept with its record.
func (c *Client) putVoucher(ctx context.Context, meta blob.Meta, voucher io.Reader) (e blob.Entry, inline []byte, err error) {
	if c.cfg.InlineMost > 0 {
		var head bytes.Buffer
		_, err = io.CopyN(&head, voucher, c.cfg.InlineMost+1)
		if errors.Is(err, io.EOF) {
			inline, e, err = c.cfg.Keys.Seal(head.Bytes())
			return e, inline, err
		}
		if err != nil {
			return e, nil, fmt.Errorf("read the voucher: %w", err)
		}
		voucher = io.MultiReader(&head, voucher)
	}
	e, err = c.store.Put(ctx, meta, voucher)
	return e, nil, err
}

// Voucher gives the bytes of an upload's voucher, the last of them only if all are as they were
// enqueued. The caller closes it. Errors: ledger.ErrNotKept, blob.ErrMissing, blob.ErrDamaged, or
// the store's.
func (c *Client) Voucher(ctx context.Context, u ledger.Upload) (io.ReadCloser, error) {
	e := blob.Entry{Key: u.StoreKey, Size: u.Size, SHA256: u.SHA256, CRC32C: u.CRC32C}
	switch {
	case u.StoreKey != "":
		return c.store.Open(ctx, e)
	case u.Inline:
		pieces, err := c.ledger.Voucher(ctx, u.ID)
		if err != nil {
			return nil, c.explain(err)
		}
		return c.cfg.Keys.Unseal(pieces, e)
	default:
		return nil, fmt.Errorf("%s: %w", u.ID, ledger.ErrNotKept)
	}
}
