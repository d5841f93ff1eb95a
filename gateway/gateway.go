package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway/web"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

// Config is what a Gateway is made of. Tasks and Store are required; what it is given stays the caller's to close.
type Config struct {
	Tasks *tasks.Client
	Store blob.Store
	Log   *zap.Logger // nil: no log

	// Accounts are the roads to the API. A request that names another account is refused; with none, any name is taken and
	// PandaPon's own paths are all refused.
	Accounts []Account
	Rule     pandapon.SignRule

	// Tokens open the gateway. With none, everybody is an operator, and Serve refuses listeners that others can reach.
	Tokens []Token

	// TrustedProxies are believed when they say for whom they forward, and whether that one came by HTTPS.
	TrustedProxies []netip.Prefix

	// MaxVoucherBytes is the largest voucher; 0 is tasks.DefaultMaxVoucherBytes. Make it the same as that of Tasks.
	MaxVoucherBytes int64

	// Ready says whether uploads can be taken; nil: always. It is asked at most once a second.
	Ready func(context.Context) error

	// Enqueued is told how each attempt to store a voucher came out: accepted, duplicate, refused or failed; nil: nobody.
	Enqueued func(result string, took time.Duration)

	Metrics        http.Handler // at /metrics; nil: not found
	History        web.History  // counts for the start page's chart, a *ledger.Ledger; nil: no chart
	Queues         http.Handler // asynqmon at /queues/, for operators; nil: not found
	QueuesReadOnly http.Handler // the same for all others, able to look only; nil: not found

	TLS *CertificateFiles // nil: plain HTTP

	Limits Limits
	Now    func() time.Time // the clock that signatures are checked by; nil is time.Now
}

// Account is one PandaPon account's road to the API.
type Account struct {
	Name        string
	Credentials pandapon.Credentials
	BaseURL     string // "" is pandapon.DefaultBaseURL
	UploadPath  string // "" is pandapon.DefaultUploadPath
}

// Gateway answers the HTTP API, PandaPon's paths and the web pages. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	limits   Limits
	log      *zap.Logger
	tasks    *tasks.Client
	store    blob.Store
	mux      *http.ServeMux
	csrf     *http.CrossOriginProtection
	logins   *loginLimit
	ready    readiness
	uploads  slots
	passing  slots
	dropIn   *dropIn
	pages    *web.Pages
	stopping chan struct{} // closed when Serve begins to stop
}

// New checks cfg and gives a gateway. It reports every fault found.
func New(cfg Config) (*Gateway, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxVoucherBytes <= 0 {
		cfg.MaxVoucherBytes = tasks.DefaultMaxVoucherBytes
	}
	g := &Gateway{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Log, tasks: cfg.Tasks, store: cfg.Store,
		csrf: http.NewCrossOriginProtection(), logins: newLoginLimit(), stopping: make(chan struct{}),
	}
	g.uploads, g.passing = make(slots, g.limits.Uploads), make(slots, g.limits.PassedOn)
	var err error
	if g.dropIn, err = newDropIn(cfg, g.log); err != nil {
		return nil, err
	}
	if err = errors.Join(cfg.check(), g.trySpool()); err != nil {
		return nil, err
	}
	if g.pages, err = g.newPages(); err != nil {
		return nil, err
	}
	g.routes()
	return g, nil
}

func (c Config) check() error {
	var faults []error
	if c.Tasks == nil || c.Store == nil {
		faults = append(faults, errors.New("gateway: Tasks and Store are required"))
	}
	if err := c.Rule.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("sign rule: %w", err))
	}
	if len(c.Tokens) == 0 && len(c.TrustedProxies) > 0 {
		faults = append(faults, errors.New("a gateway behind a proxy needs tokens: without any, whoever reaches the proxy would be an operator"))
	}
	return errors.Join(faults...)
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := g.begin(w, r)
	defer g.end(x)
	r = x.request
	switch {
	case !g.open() || x.local():
	default:
		g.refuse(x.answer, r, &problem{
			kind:   problemHost,
			detail: "this gateway has no tokens, so it answers on this machine only, by the name localhost or a loopback address, and not through a proxy",
		})
		return
	}
	if g.dropIn.owns(r) {
		g.serveDropIn(x.answer, r)
		return
	}
	g.securityHeaders(x.answer.Header(), x.secure)
	if err := g.csrf.Check(r); err != nil {
		g.refuse(x.answer, r, &problem{kind: problemCrossOrigin, detail: "another site's page made this call"})
		return
	}
	g.dispatch(x.answer, r)
}

// open says that there are no tokens.
func (g *Gateway) open() bool { return len(g.cfg.Tokens) == 0 }
