package dropin

import (
	"cmp"
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/learn"
)

// LearntRule is a sign rule, other than that of the settings, by which an account's secret signed a
// call that was refused. SignParts and TimestampUnit are the settings by which its signature would
// have been accepted.
type LearntRule struct {
	Account       string
	SignParts     string
	TimestampUnit string
	SeenAt        ledger.Time // when it was last seen, by the gateway's clock
}

// Anybody who knows an access key can make the gateway search: so one search runs at a time, none
// for longer than some 10 ms, and one in learnEvery for each access key.
const (
	learnEvery = 10 * time.Second
	learnMost  = 1 << 10 // bytes of what is signed
)

// learner finds the rules of calls that failed the check.
type learner struct {
	accounts *atomic.Pointer[[]*account]
	rule     pandapon.SignRule // that of the settings
	now      func() time.Time
	told     func(LearntRule)

	turn chan struct{}        // holds one while a search runs, and after close
	next map[string]time.Time // when an access key may be searched for; whoever has the turn uses it

	mu     sync.Mutex
	learnt map[string]LearntRule // by account
}

func newLearner(cfg Config, accounts *atomic.Pointer[[]*account]) *learner {
	return &learner{
		accounts: accounts, rule: cfg.Rule, now: cfg.Now, told: cfg.Learnt,
		turn: make(chan struct{}, 1), next: map[string]time.Time{}, learnt: map[string]LearntRule{},
	}
}

// close waits for the search that runs; no other one begins.
func (l *learner) close() { l.turn <- struct{}{} }

// rules gives what was learnt, by account.
func (l *learner) rules() []LearntRule {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.learnt), func(a, b LearntRule) int { return cmp.Compare(a.Account, b.Account) })
}

// look searches for the rule of a call that failed the check, if its turn has come. It does not
// wait for the result: the time that a refusal takes must tell nothing.
func (l *learner) look(h http.Header) {
	r := learn.Request{
		AccessKey: h.Get(pandapon.HeaderAccessKey), Timestamp: h.Get(pandapon.HeaderTimestamp), Nonce: h.Get(pandapon.HeaderNonce),
		UserID: h.Get(pandapon.HeaderUserID), Signature: h.Get(pandapon.HeaderSignature),
	}
	if len(r.AccessKey)+len(r.Timestamp)+len(r.Nonce)+len(r.UserID) > learnMost {
		return
	}
	var known []*account
	for _, a := range *l.accounts.Load() {
		if subtle.ConstantTimeCompare([]byte(a.Credentials.AccessKey), []byte(r.AccessKey)) == 1 {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return
	}
	select {
	case l.turn <- struct{}{}:
	default:
		return
	}
	now := l.now()
	if now.Before(l.next[r.AccessKey]) {
		<-l.turn
		return
	}
	l.next[r.AccessKey] = now.Add(learnEvery)
	go func() {
		defer func() { <-l.turn }()
		for _, a := range known {
			if rule, err := learn.Find(r, a.Credentials.Secret); err == nil {
				l.note(LearntRule{Account: a.Name, SignParts: rule.Text(), TimestampUnit: string(rule.Unit), SeenAt: ledger.Time{Time: now}})
				return
			}
		}
	}()
}

// note remembers a rule, and tells of it if it is new.
func (l *learner) note(found LearntRule) {
	if found.SignParts == l.rule.Text() && found.TimestampUnit == string(cmp.Or(l.rule.Unit, pandapon.Milliseconds)) {
		return // only the clock is off
	}
	l.mu.Lock()
	before := l.learnt[found.Account]
	l.learnt[found.Account] = found
	l.mu.Unlock()
	if before.SignParts != found.SignParts || before.TimestampUnit != found.TimestampUnit {
		l.told(found)
	}
}
