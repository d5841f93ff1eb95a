// Package ledger records uploads and their attempts in Redis. It is the truth about every upload:
// the queue may lose, archive or duplicate a task, and the ledger still knows what is not finished.
//
// Every write that moves a state is one Lua script. All times are those of the Redis server;
// durations are arguments, so the clocks of the hosts play no part.
package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Conditions that callers ask for with errors.Is.
var (
	// ErrNotFound means that the ledger knows no such upload.
	ErrNotFound = errors.New("no such upload")
	// ErrNotAllowed means that the upload's state does not allow what was asked; a *StateError says
	// which.
	ErrNotAllowed = errors.New("the upload's state does not allow it")
	// ErrNotKept means that the upload's voucher is no longer kept, so that it cannot be sent
	// again.
	ErrNotKept = errors.New("the voucher is no longer kept: enqueue it again")
	// ErrOtherStore means that workers with different blob stores share one Redis.
	ErrOtherStore = errors.New("another blob store holds this account's vouchers")
	// ErrScript means that Redis is there, and could not run a script on the data it has: trying
	// again is of no use.
	ErrScript = errors.New("redis could not run a script of the ledger")
	// ErrNewerRecord means that a newer version of voucherd wrote the record.
	ErrNewerRecord = errors.New("the record was written by a newer version")
)

// StateError says that an upload's state does not allow what was asked of it.
type StateError struct {
	ID    string
	State State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("upload %s is %s", e.ID, e.State)
}

func (e *StateError) Unwrap() error { return ErrNotAllowed }

// Settings are the ledger's numbers. The zero value of a field stands for its default. Every
// process that works on a account should have the same.
type Settings struct {
	MaxAge     time.Duration // age limit of an upload, from its creation or last retry; 7 days
	Retention  time.Duration // how long delivered and discarded uploads stay; 30 days
	KeepDead   time.Duration // how long the voucher of a rejected or expired upload stays; 90 days
	KeepSent   time.Duration // how long the voucher of a delivered upload stays; 0: it leaves at once
	Grace      time.Duration // how long a producer or worker may take to put a task; 30 s
	Breaker    BreakerSettings
	lookAtOnce int
}

// BreakerSettings are the numbers of an account's breaker. The zero value of a field stands for its
// default.
type BreakerSettings struct {
	OutageRow    int           // attempts in a row without an answer that open it; 5
	AccountRow   int           // answers in a row of the credentials or endpoint kind that open it; 3
	RefusingRow  int           // different uploads in a row with the same refusal that open it; 5
	OutageBase   time.Duration // first hold of an outage, doubling; 5 s
	OutageMax    time.Duration // … up to this; 60 s
	ProbeBase    time.Duration // first hold for credentials, endpoint, refusing, blob store and identity, doubling; 10 s
	ProbeMax     time.Duration // … up to this; 5 min
	ThrottleBase time.Duration // first hold of throttling without Retry-After, doubling; 30 s
	ThrottleMax  time.Duration // … up to this; 1 h
}

const day = 24 * time.Hour

func (s Settings) withDefaults() Settings {
	s.MaxAge = cmp.Or(s.MaxAge, 7*day)
	s.Retention = cmp.Or(s.Retention, 30*day)
	s.KeepDead = cmp.Or(s.KeepDead, 90*day)
	s.Grace = cmp.Or(s.Grace, 30*time.Second)
	s.lookAtOnce = cmp.Or(s.lookAtOnce, 500)
	s.Breaker.OutageRow = cmp.Or(s.Breaker.OutageRow, 5)
	s.Breaker.AccountRow = cmp.Or(s.Breaker.AccountRow, 3)
	s.Breaker.RefusingRow = cmp.Or(s.Breaker.RefusingRow, 5)
	s.Breaker.OutageBase = cmp.Or(s.Breaker.OutageBase, 5*time.Second)
	s.Breaker.OutageMax = cmp.Or(s.Breaker.OutageMax, time.Minute)
	s.Breaker.ProbeBase = cmp.Or(s.Breaker.ProbeBase, 10*time.Second)
	s.Breaker.ProbeMax = cmp.Or(s.Breaker.ProbeMax, 5*time.Minute)
	s.Breaker.ThrottleBase = cmp.Or(s.Breaker.ThrottleBase, 30*time.Second)
	s.Breaker.ThrottleMax = cmp.Or(s.Breaker.ThrottleMax, time.Hour)
	return s
}

// accountsKey names every account that ever had an upload.
const accountsKey = "voucherd:accounts"

// Ledger reads and writes the record. It is safe for concurrent use; so are any number of them on
// one Redis.
type Ledger struct {
	rdb       redis.UniversalClient
	set       Settings
	scripts   scripts
	finishSet []byte    // encoded once
	accounts  *sync.Map // that this process has noted
}

// New gives the ledger that lies in this Redis. The client stays the caller's to close.
func New(rdb redis.UniversalClient, set Settings) *Ledger {
	set = set.withDefaults()
	return &Ledger{
		rdb: rdb, set: set, scripts: loadScripts(), finishSet: encodeFinishSettings(set.Breaker), accounts: &sync.Map{},
	}
}

// Settings gives the numbers in force, defaults filled in.
func (l *Ledger) Settings() Settings { return l.set }

// Accounts lists the accounts that ever had an upload or a worker, in no particular order.
func (l *Ledger) Accounts(ctx context.Context) ([]string, error) {
	accounts, err := l.rdb.SMembers(ctx, accountsKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return accounts, nil
}

// ReplicationID names the history of writes that the Redis which holds an account goes on with. Redis
// begins a new one when it starts and when it is promoted: another name means that last writes may be
// lost, also where the same server was demoted and promoted again meanwhile. It is "" where Redis does
// not tell.
func (l *Ledger) ReplicationID(ctx context.Context, account string) (string, error) {
	info, err := l.Info(ctx, account, "replication")
	if errorReply(err) || redis.HasErrorPrefix(err, "NOPERM") {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask what redis holds of account %s: %w", account, err)
	}
	_, rest, _ := strings.Cut(info, "master_replid:")
	id, _, _ := strings.Cut(rest, "\r")
	return id, nil
}

// Info gives a section of what the Redis that holds an account says of itself. Errors are Redis'
// own.
func (l *Ledger) Info(ctx context.Context, account, section string) (string, error) {
	rdb, err := l.node(ctx, account)
	if err != nil {
		return "", err
	}
	info, err := rdb.Info(ctx, section).Result()
	l.lookAnew(ctx, err)
	return info, err
}

// lookAnew asks a cluster who has what, after an error of one of its nodes: it may have failed over.
func (l *Ledger) lookAnew(ctx context.Context, err error) {
	if c, ok := l.rdb.(*redis.ClusterClient); ok && err != nil {
		c.ReloadState(ctx)
	}
}

// node gives the Redis that holds an account, of a cluster its master there.
func (l *Ledger) node(ctx context.Context, account string) (redis.UniversalClient, error) {
	c, ok := l.rdb.(*redis.ClusterClient)
	if !ok {
		return l.rdb, nil
	}
	master, err := c.MasterForKey(ctx, prefix(account))
	if err != nil {
		return nil, fmt.Errorf("ask which redis holds account %s: %w", account, err)
	}
	return master, nil
}

// BindStore notes which blob store holds an account's vouchers, the first time it is called. Later
// calls with another identity get ErrOtherStore: behind one Redis all must share one blob store, or
// uploads would seem to have lost their vouchers.
func (l *Ledger) BindStore(ctx context.Context, account, identity string) error {
	key := prefix(account) + "store"
	if err := l.rdb.SetNX(ctx, key, identity, 0).Err(); err != nil {
		return fmt.Errorf("note the blob store of account %s: %w", account, err)
	}
	held, err := l.rdb.Get(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("read the blob store of account %s: %w", account, err)
	}
	if held != identity {
		return fmt.Errorf("account %s: %w (its vouchers lie in %s, this process has %s)", account, ErrOtherStore, held, identity)
	}
	if err := l.rdb.SAdd(ctx, accountsKey, account).Err(); err != nil {
		return fmt.Errorf("note account %s: %w", account, err)
	}
	return nil
}
