package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/gateway/api"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/gateway/web"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

// Config is what a Gateway is made of. Tasks is required; what it is given stays the
// caller's to close.
type Config struct {
	Tasks *tasks.Client
	Log   *zap.Logger // nil: no log

	// Accounts are those of the API. A request that names another account is refused; with none,
	// any name is taken and PandaPon's own paths are all refused.
	Accounts []dropin.Account
	Rule     pandapon.SignRule

	// Tokens open the gateway. With none, everybody is an operator, and Serve refuses listeners
	// that others can reach.
	Tokens []Token

	// TrustedProxies are believed when they say for whom they forward, and whether that one came by
	// HTTPS.
	TrustedProxies []netip.Prefix

	// MaxVoucherBytes is the largest voucher; 0 is tasks.DefaultMaxVoucherBytes. Make it the same
	// as that of Tasks.
	MaxVoucherBytes int64

	// Ready says whether uploads can be taken; nil: always. It is asked at most once a second.
	Ready func(context.Context) error

	// Enqueued is told how each attempt to store a voucher came out: accepted, duplicate, refused
	// or failed; nil: nobody.
	Enqueued func(result string, took time.Duration)

	// Requested is told how each request ended, by its route: the pattern it matched, as in
	// "GET /v1/uploads/{id}", "drop-in" for PandaPon's paths, or "none". Status is 0 when nothing
	// was answered. nil: nobody.
	Requested func(route string, status int, took time.Duration)

	Traces trace.TracerProvider // takes a span for each request; nil: nobody does

	Metrics        http.Handler // at /metrics; nil: not found
	Queues         http.Handler // asynqmon at /queues/, for operators; nil: not found
	QueuesReadOnly http.Handler // the same for all others, able to look only; nil: not found

	// Webhooks gives how an account's webhooks stand, and whether it has any; nil: none has.
	Webhooks func(ctx context.Context, account string) (events.Status, bool, error)

	// Redis keeps the key by which sessions of the login page are known, for all gateways; nil: they
	// end with this process.
	Redis redis.UniversalClient

	TLS *CertificateFiles // nil: plain HTTP

	Now func() time.Time // the clock that signatures are checked by; nil is time.Now

	limits limits // tests make some of them smaller
}

// Gateway answers the HTTP API, PandaPon's paths and the web pages. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	limits   limits
	log      *zap.Logger
	mux      *http.ServeMux
	csrf     *http.CrossOriginProtection
	logins   *loginLimit
	ownKey   []byte                 // of sessions, without Config.Redis
	lastKey  atomic.Pointer[[]byte] // of sessions, as Config.Redis last gave it
	ready    readiness
	degraded atomic.Pointer[degraded] // as readyz last saw it
	intake   *intake.Intake
	dropIn   *dropin.DropIn
	pages    *web.Pages
	api      *api.API
	stopping chan struct{} // closed when Serve begins to stop
}

// New checks cfg and gives a gateway. It reports every fault found.
func New(cfg Config) (*Gateway, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Requested == nil {
		cfg.Requested = func(string, int, time.Duration) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxVoucherBytes <= 0 {
		cfg.MaxVoucherBytes = tasks.DefaultMaxVoucherBytes
	}
	g := &Gateway{
		cfg: cfg, limits: cfg.limits.withDefaults(), log: cfg.Log,
		csrf: http.NewCrossOriginProtection(), logins: newLoginLimit(), ownKey: []byte(rand.Text()), stopping: make(chan struct{}),
	}
	if err := errors.Join(cfg.check(), g.compose()); err != nil {
		return nil, err
	}
	g.routes()
	return g, nil
}

func (c Config) check() error {
	faults := []error{checkPaths(c.Accounts)}
	if c.Tasks == nil {
		faults = append(faults, errors.New("gateway: Tasks is required"))
	}
	if len(c.Tokens) == 0 && len(c.TrustedProxies) > 0 {
		faults = append(faults, errors.New("a gateway behind a proxy needs tokens: without any, whoever reaches the proxy would be an operator"))
	}
	return errors.Join(faults...)
}

func checkPaths(accounts []dropin.Account) error {
	var faults []error
	for _, a := range accounts {
		if path := a.UploadPath; path != "" && (!strings.HasPrefix(path, "/") || ownPath(path)) {
			faults = append(faults, fmt.Errorf("account %s: the upload path %s is one of the gateway's own", a.Name, path))
		}
	}
	return errors.Join(faults...)
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	entry := g.begin(w, r)
	defer g.end(entry)
	r = entry.request
	if g.open() && !entry.local() {
		g.refuse(entry.answer, r, &problem.Error{
			Kind:   problem.WrongHost,
			Detail: "this gateway has no tokens, so it answers on this machine only, by the name localhost or a loopback address, and not through a proxy",
		})
		return
	}
	if g.dropIn.Owns(r) {
		entry.route = "drop-in"
		g.dropIn.ServeHTTP(entry.answer, r)
		return
	}
	g.securityHeaders(entry.answer.Header(), entry.secure)
	if err := g.csrf.Check(r); err != nil {
		g.refuse(entry.answer, r, &problem.Error{Kind: problem.CrossOrigin, Detail: "another site's page made this call"})
		return
	}
	g.dispatch(entry.answer, r)
}

// open says that there are no tokens.
func (g *Gateway) open() bool { return len(g.cfg.Tokens) == 0 }
