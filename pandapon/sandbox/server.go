package sandbox

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/voucherd/voucherd/pandapon"
)

const (
	// documentedPath is the upload path of the endpoint's page.
	documentedPath = "/open/order/upload/payCertificate"
	// uploadFolder holds upload paths: an unknown one in it is no endpoint.
	uploadFolder = "/open/order/upload/"
	// controlPrefix holds the sandbox's own calls.
	controlPrefix = "/_sandbox/"

	// documentedWindow is how far off a timestamp may be (developer manual).
	documentedWindow = 600 * time.Second
	// defaultMaxRequests bounds the log: about 100 MB when full.
	defaultMaxRequests = 200_000
)

// Config says whom a sandbox knows and how it behaves. The zero value knows nobody and refuses
// every call.
type Config struct {
	// Credentials are the accounts. An empty UserID takes any user-id.
	Credentials []pandapon.Credentials
	Rule        pandapon.SignRule
	// UploadPath is where vouchers go; empty means the documented path.
	UploadPath string
	// CheckNonce refuses a nonce-str that an access key has used within twice the Window. A call
	// that was refused for another reason, or that a fault struck before the API took it, does not
	// use up its nonce.
	CheckNonce bool
	// Window is how far off a timestamp may be; 0 means 600 s.
	Window time.Duration
	// MaxRequests bounds the log, the oldest leave first; 0 means 200,000.
	MaxRequests int
	// Seed makes the throws of faults with a probability repeat, for calls made one after the
	// other; 0 picks a seed.
	Seed uint64
	// Now is the sandbox's clock; nil means time.Now. Delays do not follow it.
	Now func() time.Time
	// Delay is the answer time of a healthy call. The voucher is taken before it.
	Delay time.Duration
}

// Sandbox is the stand-in API, an http.Handler. Safe for concurrent use.
type Sandbox struct {
	uploadPath string
	delay      time.Duration
	now        func() time.Time
	verifier   verifier
	faults     *faultSet
	log        *requestLog
	control    http.Handler
	closed     chan struct{}
	close      func()
}

// New returns a healthy sandbox with an empty log.
func New(cfg Config) *Sandbox {
	if cfg.UploadPath == "" {
		cfg.UploadPath = documentedPath
	}
	if cfg.Window == 0 {
		cfg.Window = documentedWindow
	}
	if cfg.MaxRequests == 0 {
		cfg.MaxRequests = defaultMaxRequests
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Sandbox{
		uploadPath: cfg.UploadPath,
		delay:      cfg.Delay,
		now:        cfg.Now,
		verifier:   verifier{rule: cfg.Rule, window: cfg.Window},
		faults:     newFaultSet(cfg.Seed),
		log:        newRequestLog(cfg.MaxRequests),
		closed:     make(chan struct{}),
	}
	s.SetCredentials(cfg.Credentials...)
	if cfg.CheckNonce {
		// A timestamp may lie a window ahead and be good until a window behind.
		s.verifier.nonces = newNonceMemory(2 * cfg.Window)
	}
	s.close = sync.OnceFunc(func() { close(s.closed) })
	s.control = s.controlRoutes()
	return s
}

// Close ends all calls that hang or wait, without an answer, and those to come that would. Call it
// before shutting the http.Server down, or Shutdown waits for them. It may be called more than
// once.
func (s *Sandbox) Close() { s.close() }

// SetCredentials replaces the accounts: a secret that was reset is good for no other call.
func (s *Sandbox) SetCredentials(credentials ...pandapon.Credentials) {
	s.verifier.credentials.Store(&credentials)
}

// SetFaults replaces all faults; without arguments the sandbox is healthy. Calls that were struck
// already are not released. It panics when Validate refuses a fault: a mistake in the calling
// program.
func (s *Sandbox) SetFaults(faults ...Fault) {
	for _, f := range faults {
		if err := f.Validate(); err != nil {
			panic(err)
		}
	}
	s.faults.replace(faults, s.now())
}

// Requests copies the log, oldest first, with the requests under way.
func (s *Sandbox) Requests() []Request { return s.log.page(0, -1) }

// Wait returns nil as soon as satisfied accepts the log, else ctx's error. It asks at once, then
// whenever the log has changed; changes in quick succession are asked about once. The slice is lent
// for the call only, in which the sandbox must not be called.
func (s *Sandbox) Wait(ctx context.Context, satisfied func([]Request) bool) error {
	return s.log.wait(ctx, satisfied)
}

// ServeHTTP answers calls of the API and of /_sandbox/.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.control.ServeHTTP(w, r)
		return
	}
	s.serveCall(w, r)
}
