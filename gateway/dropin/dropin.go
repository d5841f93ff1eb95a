// Package dropin stands in for PandaPon's API, so that a backend changes its base URL and nothing
// else. Calls signed with an account's secret are taken: the upload call's voucher is enqueued,
// every other call is passed on to the API unchanged.
package dropin

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
)

// Config is what a DropIn is made of. All but Accounts and Rule is required; without accounts every
// call is refused.
type Config struct {
	Accounts []Account
	Rule     pandapon.SignRule
	Intake   *intake.Intake
	Limits   Limits
	Now      func() time.Time // the clock that signatures are checked by
	ErrorLog *log.Logger      // takes what net/http says by itself of calls passed on

	Note      func(*http.Request, ledger.Upload) // puts what is known of an upload onto the access log line
	Cause     func(*http.Request, error)         // puts an error onto it that the answer does not show
	RequestID func(*http.Request) string         // the access log line's
	Learnt    func(LearntRule)                   // is told of each rule that is new
}

// Account is one PandaPon account.
type Account struct {
	Name        string
	Credentials pandapon.Credentials
	BaseURL     string // "" is pandapon.DefaultBaseURL
	UploadPath  string // "" is pandapon.DefaultUploadPath
}

// Limits bound what calls that are passed on can make the gateway hold, in memory and in time.
type Limits struct {
	Places int           // calls passed on at once
	Wait   time.Duration // for a place
	Body   intake.BodyLimits
	Bytes  int64         // of a call's body
	Pass   time.Duration // for a call, its body and the answer's included
	Answer time.Duration // for the end of the answer
}

// DropIn answers PandaPon's paths. It is safe for concurrent use.
type DropIn struct {
	cfg       Config
	accounts  atomic.Pointer[[]*account]
	places    intake.Places
	transport *http.Transport
	learner   *learner
}

// account is an account and the way to its API.
type account struct {
	Account

	base  *url.URL
	proxy *httputil.ReverseProxy
}

// New checks cfg and gives a drop-in. It reports every fault found.
func New(cfg Config) (*DropIn, error) {
	d := &DropIn{cfg: cfg, places: intake.NewPlaces(cfg.Limits.Places), transport: passTransport()}
	d.learner = newLearner(cfg, &d.accounts)
	err := cfg.Rule.Validate()
	if err != nil {
		err = fmt.Errorf("sign rule: %w", err)
	}
	return d, errors.Join(err, d.SetAccounts(cfg.Accounts))
}

// SetAccounts makes it know these accounts and no others. Calls under way go on as they began. After
// an error, which names every fault found, it knows those that it knew.
func (d *DropIn) SetAccounts(accounts []Account) error {
	var faults []error
	known := []*account{}
	for _, a := range accounts {
		a.BaseURL = cmp.Or(a.BaseURL, pandapon.DefaultBaseURL)
		a.UploadPath = cmp.Or(a.UploadPath, pandapon.DefaultUploadPath)
		base, err := url.Parse(strings.TrimSuffix(a.BaseURL, "/"))
		if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
			faults = append(faults, fmt.Errorf("account %s: the base URL is not one of HTTP", a.Name))
			continue
		}
		if a.Credentials.AccessKey == "" || a.Credentials.Secret == "" {
			faults = append(faults, fmt.Errorf("account %s: access key and secret are needed to check signatures", a.Name))
		}
		to := &account{Account: a, base: base}
		to.proxy = d.proxyTo(to)
		known = append(known, to)
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	d.accounts.Store(&known)
	return nil
}

// Owns says whether a path is PandaPon's: what begins as its paths do, and the accounts' upload
// paths. It looks at the path as it was sent, before anything makes it tidy.
func (d *DropIn) Owns(r *http.Request) bool {
	path := r.URL.Path
	for _, prefix := range []string{"/open/", "/alibaba/", "/v2/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	for _, a := range *d.accounts.Load() {
		if path == a.UploadPath {
			return true
		}
	}
	return false
}

// Learnt gives the sign rules that were learnt from calls that were refused, by account. They are
// this drop-in's own: nothing keeps them, and nothing uses them.
func (d *DropIn) Learnt() []LearntRule { return d.learner.rules() }

// Close waits for what still runs when all calls are answered. It may be called once.
func (d *DropIn) Close() { d.learner.close() }

// ServeHTTP answers a call of PandaPon's API. Nothing of it is looked at before its signature is
// known to be an account's.
func (d *DropIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, refusal := d.verify(r)
	if refusal != nil {
		d.refuse(w, r, refusal)
		d.learner.look(r.Header)
		return
	}
	d.cfg.Note(r, ledger.Upload{Account: from.Name})
	if r.Method == http.MethodPost && r.URL.Path == from.UploadPath {
		if err := d.takeVoucher(w, r, from); err != nil {
			d.refuse(w, r, problem.Explain(err))
		}
		return
	}
	d.passOn(w, r, from)
}

// takeVoucher takes the upload call. A voucher that is accepted, now or before, is code 200, with
// the upload's id as requestId: `voucherd show` finds it by that.
func (d *DropIn) takeVoucher(w http.ResponseWriter, r *http.Request, from *account) error {
	caller := intake.Caller{Account: from.Name, UserID: r.Header.Get(pandapon.HeaderUserID)}
	if caller.UserID == "" {
		return problem.Invalidf(pandapon.HeaderUserID, "the header is missing")
	}
	u, err := d.cfg.Intake.TakeCall(w, r, caller)
	if err != nil {
		return err
	}
	problem.WriteJSON(w, http.StatusOK, envelope{RequestID: u.ID, Code: codeAccepted, Msg: acceptedEnvelope, Data: true})
	return nil
}
