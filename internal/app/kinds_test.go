package app_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/doctor"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// durable are the arguments of a Redis as docs/operations.md wants it.
func durable(more ...string) []string {
	return append([]string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "200mb", "--maxmemory-policy", "noeviction"}, more...)
}

// TestEveryKindOfRedis delivers vouchers through each kind of Redis that docs/operations.md names,
// and hears from doctor that all is well.
func TestEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	acks := map[string]string{"sentinel": "VOUCHERD_REPLICAS_ACK=1", "sentinel ACL": "VOUCHERD_REPLICAS_ACK=1", "cluster": "VOUCHERD_REPLICAS_ACK=1"}
	for name, start := range map[string]func(t *testing.T) (url string){
		"single":       startSingle,
		"unix socket":  startSocket,
		"ACL user":     startACL,
		"TLS":          startTLS,
		"sentinel":     startSentinel,
		"sentinel ACL": startSentinelACL,
		"cluster":      startCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, start(t), cmp.Or(acks[name], "VOUCHERD_REPLICAS_ACK=0"))
			for i := range 6 {
				d.enqueue(t, fmt.Sprintf("order-%d", i/2), i)
			}
			d.enqueue(t, "large", 300<<10)
			d.delivered(t, 7)
			var found []doctor.Finding
			err := process.Until(t.Context(), 30*time.Second, "doctor finds nothing", func() bool { // the last task ends after its upload
				found = slices.DeleteFunc(d.examine(t), func(f doctor.Finding) bool { return f.Grade == doctor.OK })
				return len(found) == 0
			})
			if err != nil {
				t.Errorf("%v: %+v", err, found)
			}
		})
	}
}

// rights are those that docs/operations.md names.
func rights() []string {
	return []string{"~voucherd:*", "~asynq:*", "&voucherd:*", "&asynq:*", "+@all", "-@dangerous", "+info", "+config|get", "+role", "+keys"}
}

func startSingle(t *testing.T) string {
	t.Helper()
	return redistest.Start(t, redistest.Options{Args: durable(), Password: "p@ss/word"}).URL()
}

func startSocket(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "redis.sock")
	redistest.Start(t, redistest.Options{Args: durable("--unixsocket", socket, "--unixsocketperm", "700")})
	return "unix://" + socket
}

func startSentinel(t *testing.T) string {
	t.Helper()
	return redistest.Sentinel(t, 1, durable()...).URL()
}

func startCluster(t *testing.T) string {
	t.Helper()
	return redistest.Cluster(t, durable()...).URL()
}

func startACL(t *testing.T) string {
	t.Helper()
	s := redistest.Start(t, redistest.Options{Args: durable()})
	if err := s.Client().ACLSetUser(t.Context(), "voucherd", append([]string{"on", ">pass"}, rights()...)...).Err(); err != nil {
		t.Fatal(err)
	}
	return "redis://voucherd:pass@" + s.Addr
}

func startSentinelACL(t *testing.T) string {
	t.Helper()
	s := redistest.Sentinel(t, 1, durable()...)
	for _, n := range s.Nodes {
		rdb := n.Client()
		err := rdb.ACLSetUser(t.Context(), "voucherd", append([]string{"on", ">pass"}, rights()...)...).Err()
		if err = errors.Join(err, rdb.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return s.URL() + "&username=voucherd&password=pass"
}

// startTLS starts a Redis that has a certificate of an authority of its own, and wants one too.
func startTLS(t *testing.T) string {
	t.Helper()
	files := newAuthority(t)
	addr, err := process.FreeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	redistest.Start(t, redistest.Options{Args: durable(
		"--tls-port", port, "--tls-cert-file", files.cert, "--tls-key-file", files.key, "--tls-ca-cert-file", files.ca, "--tls-auth-clients", "yes",
	)})
	q := url.Values{"ca_file": {files.ca}, "cert_file": {files.cert}, "key_file": {files.key}}
	return "rediss://127.0.0.1:" + port + "?" + q.Encode()
}

// deployment is a worker on a Redis, and the API's stand-in.
type deployment struct {
	*app.Worker

	api    *sandbox.Sandbox
	server string // address of api
}

// creds are the account's.
func creds() pandapon.Credentials {
	return pandapon.Credentials{AccessKey: "kindskey", Secret: "kinds-secret", UserID: "1"}
}

// deploy runs a worker until the test ends.
func deploy(t *testing.T, redisURL string, more ...string) deployment {
	t.Helper()
	api := sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{creds()}, CheckNonce: true})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(api.Close)
	return deployTo(t, server.URL, api, redisURL, more...)
}

// deployTo runs a worker for an API that is there already.
func deployTo(t *testing.T, server string, api *sandbox.Sandbox, redisURL string, more ...string) deployment {
	t.Helper()
	in := config.Input{Sections: app.WorkerSections(), Given: map[string]config.Given{}}
	for _, v := range append([]string{
		"VOUCHERD_REDIS_URL=" + redisURL, "PANDAPON_BASE_URL=" + server, "PANDAPON_ACCESS_KEY=" + creds().AccessKey,
		"PANDAPON_ACCESS_SECRET=" + creds().Secret.Reveal(), "PANDAPON_USER_ID=" + creds().UserID, "VOUCHERD_SHUTDOWN_TIMEOUT=61s",
	}, more...) {
		name, text, _ := strings.Cut(v, "=")
		in.Given[name] = config.Given{Name: name, Text: text}
	}
	cfg, err := config.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	w, err := app.NewWorker(t.Context(), cfg, zap.NewNop(), "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait(); _ = w.Close() })
	return deployment{Worker: w, api: api, server: server}
}

// enqueue enqueues a voucher of an order, of some size.
func (d deployment) enqueue(t *testing.T, order string, size int) ledger.Upload {
	t.Helper()
	u, err := d.Store.Tasks.Enqueue(t.Context(), tasks.Request{
		OrderID: order, Voucher: strings.NewReader("%PDF-1.4 receipt " + order + strings.Repeat("x", size)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// delivered waits until so many uploads are delivered.
func (d deployment) delivered(t *testing.T, n int64) {
	t.Helper()
	var last any
	err := process.Until(t.Context(), 2*time.Minute, "all are delivered", func() bool {
		accounts, err := d.Store.Tasks.Accounts(t.Context())
		last = []any{accounts, err}
		return err == nil && len(accounts) == 1 && accounts[0].Uploads[ledger.Delivered] == n
	})
	if err != nil {
		t.Fatal(err, last)
	}
}

func (d deployment) examine(t *testing.T) []doctor.Finding {
	t.Helper()
	return doctor.Examine(t.Context(), doctor.Installation{
		Redis: d.Store.Redis, Store: d.Store.Blob, Tasks: d.Store.Tasks, ReplicasAck: d.Store.ReplicasAck,
	})
}
