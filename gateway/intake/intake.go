// Package intake takes vouchers out of requests and enqueues them: it reads forms, JSON and raw
// files as they arrive, within bounds of memory and time, and stores nothing of a request that did
// not arrive whole.
package intake

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Enqueuer stores vouchers; *tasks.Client is one.
type Enqueuer interface {
	Enqueue(ctx context.Context, r tasks.Request) (ledger.Upload, error)
}

// Config is what an Intake is made of. All but Accounts and Enqueued is required.
type Config struct {
	Tasks           Enqueuer
	Accounts        []string // names that a request may give; with none, any
	MaxVoucherBytes int64
	Limits          Limits

	// Enqueued is told how each attempt to store a voucher came out: accepted, duplicate, refused
	// or failed; nil: nobody.
	Enqueued func(result string, took time.Duration)

	// Note puts what is known of an upload onto its request's access log line.
	Note func(*http.Request, ledger.Upload)

	// By names whoever makes a request, for what it does to uploads that are there already.
	By func(*http.Request) string
}

// Limits bound what a caller can make an Intake hold, in memory and in time.
type Limits struct {
	Places int           // vouchers taken at once
	Wait   time.Duration // for a place
	Body   BodyLimits
	Store  time.Duration // for storing a voucher once it is here
	Answer time.Duration // for the answer
}

// Intake takes vouchers. It is safe for concurrent use.
type Intake struct {
	cfg      Config
	accounts atomic.Pointer[[]string]
	places   Places
}

// New gives an intake. It finds out whether large vouchers can be spooled.
func New(cfg Config) (*Intake, error) {
	in := &Intake{cfg: cfg, places: NewPlaces(cfg.Limits.Places)}
	in.SetAccounts(cfg.Accounts)
	return in, trySpool()
}

// SetAccounts replaces the names that a request may give.
func (in *Intake) SetAccounts(names []string) { in.accounts.Store(&names) }

// Caller is who makes PandaPon's upload call, as its headers have it.
type Caller struct {
	Account, UserID string
}

// TakeUpload enqueues the voucher of a request that carries it as a form, as JSON or as the raw
// file. When it returns, the voucher lies in blob store and ledger. An error is for
// problem.Explain.
func (in *Intake) TakeUpload(w http.ResponseWriter, r *http.Request) (ledger.Upload, error) {
	return in.take(w, r, &uploadRequest{}, in.readUpload)
}

// TakeCall does the same for PandaPon's upload call: JSON with base64 and orderId, whose other
// members are passed over.
func (in *Intake) TakeCall(w http.ResponseWriter, r *http.Request, c Caller) (ledger.Upload, error) {
	return in.take(w, r, &uploadRequest{account: c.Account, userID: c.UserID}, in.readCall)
}

type reader func(w http.ResponseWriter, r *http.Request, u *uploadRequest) error

func (in *Intake) take(w http.ResponseWriter, r *http.Request, u *uploadRequest, read reader) (ledger.Upload, error) {
	leave, err := in.places.Take(r.Context(), in.cfg.Limits.Wait)
	if err != nil {
		return ledger.Upload{}, err
	}
	defer leave()
	// The answer has its time even when the body took longer than the server's own limit.
	longest := in.cfg.Limits.Body.Time + in.cfg.Limits.Store + in.cfg.Limits.Answer
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest)) // only real connections have one
	u.voucher.most = in.cfg.MaxVoucherBytes
	defer u.voucher.close()
	if err = read(w, r, u); err != nil {
		return ledger.Upload{}, err
	}
	in.cfg.Note(r, ledger.Upload{OrderID: u.orderID})
	if u.account, err = in.accountOf(u.account); err != nil {
		return ledger.Upload{}, err
	}
	taken, err := in.enqueue(r.Context(), u, in.cfg.By(r))
	if err != nil {
		return ledger.Upload{}, err
	}
	in.cfg.Note(r, taken)
	return taken, nil
}

// accountOf says which account a request means.
func (in *Intake) accountOf(name string) (string, error) {
	accounts := *in.accounts.Load()
	if name == "" && len(accounts) == 1 {
		return accounts[0], nil
	}
	if name == "" {
		name = tasks.DefaultAccount
	}
	if len(accounts) == 0 || slices.Contains(accounts, name) {
		return name, nil
	}
	return "", problem.Invalidf("account", "there is none of this name, so nobody would deliver the voucher; there are %s",
		strings.Join(accounts, ", "))
}

// enqueue stores a voucher. From here on a caller who leaves changes nothing any more.
func (in *Intake) enqueue(ctx context.Context, u *uploadRequest, by string) (ledger.Upload, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.cfg.Limits.Store)
	defer cancel()
	began := time.Now()
	taken, err := in.cfg.Tasks.Enqueue(ctx, tasks.Request{
		Account: u.account, OrderID: u.orderID, UserID: u.userID, Reference: u.reference, Voucher: u.voucher.reader(),
		Again: u.again, Replace: u.replace, Who: ledger.Who{By: by, Reason: u.reason},
	})
	in.count(taken, err, time.Since(began))
	if err == nil {
		return taken, nil
	}
	if p := problem.Explain(err); p.Kind != problem.Internal {
		return taken, p
	}
	// Whatever it is, it may pass, and enqueueing again does no harm: callers shall try again.
	return taken, problem.StoreAway("the voucher could not be stored; enqueue it again", err)
}

// count reports how an attempt to store a voucher came out.
func (in *Intake) count(u ledger.Upload, err error, took time.Duration) {
	result := "accepted"
	switch {
	case errors.Is(err, tasks.ErrInvalid):
		result = "refused"
	case err != nil:
		result = "failed"
	case u.Duplicate:
		result = "duplicate"
	}
	if in.cfg.Enqueued != nil {
		in.cfg.Enqueued(result, took)
	}
}
