package web

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

//go:embed templates messages static
var files embed.FS

// ErrInput means that a request's parameters cannot be read.
var ErrInput = errors.New("the request cannot be read")

// Store is where uploads are read and acted on; *tasks.Client is one.
type Store interface {
	Get(ctx context.Context, id string) (ledger.Upload, error)
	Search(ctx context.Context, text string) ([]ledger.Upload, error)
	List(ctx context.Context, q ledger.Query) (ledger.Page, error)
	Count(ctx context.Context, q ledger.Query) (map[ledger.State]int64, error)
	Accounts(ctx context.Context) ([]tasks.AccountStatus, error)
	Activity(ctx context.Context, account string, step time.Duration, n int) (ledger.Activity, error)
	Standing(ctx context.Context, account string) (tasks.AccountStatus, error)
	Room(ctx context.Context, account string) error
	Pause(ctx context.Context, p tasks.PauseRequest) (tasks.AccountStatus, error)
	Resume(ctx context.Context, account string) (tasks.AccountStatus, error)
	Act(ctx context.Context, a tasks.Action, id string, who ledger.Who) (ledger.Upload, error)
	ActAll(ctx context.Context, b tasks.Bulk, done func(id string, r tasks.Result) error) error
}

// LearntRule is a sign rule other than that of the settings, by which a call was signed that the
// drop-in endpoint refused.
type LearntRule struct {
	Account       string
	SignParts     string
	TimestampUnit string
	SeenAt        ledger.Time
}

// Viewer is who looks at a page.
type Viewer struct {
	Name     string // of the token; "": there is no login, or it failed
	Operator bool   // may see vouchers, retry and discard
	Queues   bool   // /queues/ has something for them
	Secure   bool   // came by HTTPS
	Session  bool   // by the login page, and may sign out
}

// In says whether the viewer was let in.
func (v Viewer) In() bool { return v.Name != "" || v.Operator }

// Config is what Pages need. All but Webhooks is required.
type Config struct {
	Store  Store
	Viewer func(*http.Request) Viewer
	Note   func(*http.Request, ledger.Upload) // puts an upload's ids onto the access log line
	Cause  func(*http.Request, error)         // puts an error onto it that the page does not show
	By     func(*http.Request) string         // names whoever makes a request
	Now    func() time.Time                   // nil: time.Now
	Learnt func() []LearntRule                // what the drop-in endpoint learnt

	Spooled func() (tasks.SpoolStatus, error) // what waits for Redis in the gateway's spool

	// Webhooks gives how an account's webhooks stand, and whether it has any; nil: none has.
	Webhooks func(ctx context.Context, account string) (events.Status, bool, error)
}

// Pages answer for the web pages. They are safe for concurrent use.
type Pages struct {
	cfg       Config
	languages map[string]map[string]string
	templates map[string]*template.Template
	assets    map[string]asset
}

// Route is one of the pages' handlers. An error that it gives is for Problem to show.
type Route struct {
	Pattern   string
	Operators bool // it is for operators alone
	Open      bool // anybody may: the login page needs it
	Serve     func(http.ResponseWriter, *http.Request) error
}

// New prepares the pages.
func New(cfg Config) (*Pages, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pages{cfg: cfg}
	var err error
	if p.languages, err = loadLanguages(); err != nil {
		return nil, err
	}
	if p.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	p.templates, err = p.loadTemplates()
	return p, err
}

// Routes lists what the pages answer.
func (p *Pages) Routes() []Route {
	return []Route{
		{Pattern: "GET /{$}", Serve: p.start},
		{Pattern: "GET /accounts/{name}", Serve: p.account},
		{Pattern: "GET /search", Serve: p.search},
		{Pattern: "GET /incident", Serve: p.incident},
		{Pattern: "GET /uploads", Serve: p.uploads},
		{Pattern: "GET /uploads/{id}", Serve: p.upload},
		{Pattern: "GET /webhooks", Serve: p.webhooks},
		{Pattern: "POST /uploads/{id}/retry", Operators: true, Serve: p.act(tasks.ActionRetry)},
		{Pattern: "POST /uploads/{id}/discard", Operators: true, Serve: p.act(tasks.ActionDiscard)},
		{Pattern: "POST /uploads/several", Operators: true, Serve: p.several},
		{Pattern: "POST /accounts/{name}/pause", Operators: true, Serve: p.pause},
		{Pattern: "POST /accounts/{name}/resume", Operators: true, Serve: p.resume},
		{Pattern: "POST /language", Open: true, Serve: p.chooseLanguage},
		{Pattern: "GET /static/{name}", Open: true, Serve: p.static},
	}
}
