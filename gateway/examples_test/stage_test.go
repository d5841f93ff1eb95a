package examples_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

const (
	accessKey = "58c0201dfdf148eca63cbf6bb5e7cf03"
	secret    = "5ec2e75ec2e75ec2e75ec2e75ec2e75e" // #nosec G101 -- a test's own
	userID    = "2100007341207"

	webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // #nosec G101 -- a test's own

	order   = "1022505290408395575" // more digits than a float64 holds
	runMost = 2 * time.Minute       // a compiler on a loaded machine
)

// stage is a gateway with an account of its own in the shared Redis, and the API behind it.
type stage struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // a test's own
	dir     string
	account string
	ledger  *ledger.Ledger
	tasks   *tasks.Client
	gateway *gateway.Gateway
	token   string
	url     string // of the gateway, by way of the front
	api     *sandbox.Sandbox
	apiURL  string
	in      []byte // what a program reads from its standard input
}

// setup starts a gateway behind a front, which may spoil its answers; nil spoils none.
func setup(t *testing.T, before front) *stage {
	t.Helper()
	rdb := redistest.Client(t)
	s := &stage{t: t, ctx: t.Context(), dir: t.TempDir(), account: redistest.Account(t), ledger: ledger.New(rdb, ledger.Settings{})}
	credentials := pandapon.Credentials{AccessKey: accessKey, Secret: secret, UserID: userID}
	s.api = sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{credentials}})
	api := httptest.NewServer(s.api)
	t.Cleanup(func() { s.api.Close(); api.Close() })
	s.apiURL = api.URL

	vouchers := blob.NewRedis(rdb)
	s.tasks = tasks.New(tasks.Config{Redis: rdb, Store: vouchers, InlineMost: ledger.InlineMost, Ledger: s.ledger})
	token, stored, err := gateway.NewToken(gateway.Producer, "shop")
	must(t, err)
	s.token = token
	s.gateway, err = gateway.New(gateway.Config{
		Tasks: s.tasks, Tokens: []gateway.Token{stored},
		Accounts: []dropin.Account{{Name: s.account, Credentials: credentials, BaseURL: s.apiURL}},
	})
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asDescribed(r)
		if before == nil {
			s.gateway.ServeHTTP(w, r)
			return
		}
		before(s, w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// file writes a file for an example to read.
func (s *stage) file(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.WriteFile(path, content, 0o600)) //nolint:gosec // the names are the tests' own
	return path
}

// picture is a small real one, as PNG or JPEG.
func picture(tb testing.TB, kind string) []byte {
	tb.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for x := range 40 {
		m.Set(x, x%30, color.RGBA{R: uint8(6 * x), G: 90, B: 160, A: 255})
	}
	var b bytes.Buffer
	if kind == "image/png" {
		must(tb, png.Encode(&b, m))
	} else {
		must(tb, jpeg.Encode(&b, m, nil))
	}
	return b.Bytes()
}

// said is what a program printed, and how it ended.
type said struct {
	out, err string
	code     int
}

// run runs a program with the variables that the examples know.
func (s *stage) run(baseURL string, command ...string) said {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, runMost)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(
		os.Environ(), "no_proxy=*", "NO_PROXY=*", "GATEWAY="+s.url, "TOKEN="+s.token, "PANDAPON_BASE_URL="+baseURL,
		"PANDAPON_ACCESS_KEY="+accessKey, "PANDAPON_ACCESS_SECRET="+secret, "PANDAPON_USER_ID="+userID,
		"WEBHOOK_SECRET="+webhookSecret,
	)
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(s.in), time.Second
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		s.t.Fatalf("%s: %v\n%s", command, err, problems.String())
	}
	return said{out: out.String(), err: problems.String(), code: cmd.ProcessState.ExitCode()}
}

// uploads are all of the account's.
func (s *stage) uploads() []ledger.Upload {
	s.t.Helper()
	page, err := s.tasks.List(s.ctx, ledger.Query{Account: s.account, Limit: 10})
	must(s.t, err)
	return page.Uploads
}

// only gives the account's one upload, and checks that it is this voucher of the order.
func (s *stage) only(voucher []byte, reference string) ledger.Upload {
	s.t.Helper()
	all := s.uploads()
	if len(all) != 1 {
		s.t.Fatalf("%d uploads in the ledger, want 1", len(all))
	}
	u, sum := all[0], sha256.Sum256(voucher)
	if u.OrderID != order || u.Reference != reference || u.SHA256 != hex.EncodeToString(sum[:]) || u.Size != int64(len(voucher)) {
		s.t.Fatalf("in the ledger stands %+v", u)
	}
	return u
}

// deliver records that the API took an upload, as a worker does.
func (s *stage) deliver(id string) error {
	u, err := s.tasks.Get(s.ctx, id)
	if err != nil {
		return err
	}
	begun, err := s.ledger.Begin(s.ctx, ledger.NewAttempt{
		ID: id, Generation: u.Generation, Nonce: pandapon.NewNonce(), Worker: "test", Lease: time.Minute,
	})
	if err != nil {
		return err
	}
	_, err = s.ledger.Finish(s.ctx, begun.Running, ledger.AttemptResult{
		Outcome: ledger.OutcomeDelivered, HTTPStatus: http.StatusOK, Code: "200", Next: ledger.Delivered,
	})
	return err
}

// need gives a runtime's path, or skips the test: the examples are tested where their runtime is
// installed. In CI all of them must be.
func need(t *testing.T, name string, check ...string) string {
	t.Helper()
	lacks := t.Skipf
	if os.Getenv("CI") != "" {
		lacks = t.Fatalf
	}
	path, err := exec.LookPath(name)
	if err != nil {
		lacks("%s is not installed", name)
	}
	if len(check) == 0 {
		return path
	}
	if out, err := exec.CommandContext(t.Context(), path, check...).CombinedOutput(); err != nil {
		lacks("%s is not the one that is needed (%s): %v %s", name, check, err, out)
	}
	return path
}
