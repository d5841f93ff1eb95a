package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/build"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/demo"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

type demoCmd struct {
	Once    bool   `help:"Play one outage, report, and end; exit code 0 only if every voucher was delivered." variable:"VOUCHERD_DEMO_ONCE"`
	Redis   string `help:"Use this Redis instead of one in memory (account demo)." placeholder:"URL" variable:"VOUCHERD_DEMO_REDIS"`
	Voucher string `help:"Put this picture or PDF through as well." placeholder:"FILE" variable:"VOUCHERD_DEMO_VOUCHER"`
	Order   string `help:"With --voucher: the order it is for." placeholder:"ID" variable:"VOUCHERD_DEMO_ORDER"`
}

// Help says what a user may wonder about.
func (demoCmd) Help() string {
	return "Runs a Redis in memory, a stand-in for PandaPon's API, a worker and the gateway in one process. Nothing leaves this machine."
}

// demoAccount keeps a demo apart from what else a Redis holds.
const demoAccount = "demo"

// Run plays the demo.
func (c *demoCmd) Run(ctx context.Context, s *session) (err error) {
	own, err := c.own(ctx, s)
	if err != nil {
		return err
	}
	d, err := openDemoStack(ctx, c.Redis, s.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	fmt.Fprintln(s.stdout, d.about())
	show := demo.New(demo.Stage{
		Tasks: d.worker.Store.Tasks, Box: d.box, Account: demoAccount, Own: own,
		Out: s.stdout,
	})
	if c.Once {
		return show.Once(ctx)
	}
	return show.Forever(ctx)
}

// own reads the user's voucher.
func (c *demoCmd) own(ctx context.Context, s *session) (*demo.Own, error) {
	if c.Voucher == "" && c.Order == "" {
		return nil, nil
	}
	if c.Voucher == "" || c.Order == "" {
		return nil, usagef("--voucher FILE and --order ID go together")
	}
	f, err := s.openVoucher(ctx, c.Voucher)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Voucher, err)
	}
	return &demo.Own{Order: c.Order, Voucher: b}, nil
}

// demoStack is all that a demo stands on.
type demoStack struct {
	redisURL string
	memory   bool
	apiURL   string
	box      *sandbox.Sandbox
	worker   *app.Worker
	ends     []func() error // in the order of start

	gatewayURL string
}

// openDemoStack starts a Redis, the sandbox, a worker and the gateway.
func openDemoStack(ctx context.Context, redisURL string, stderr io.Writer) (d *demoStack, err error) {
	d = &demoStack{redisURL: redisURL}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if redisURL == "" {
		if err = d.startRedis(); err != nil {
			return d, err
		}
	}
	credentials := pandapon.Credentials{
		AccessKey: "demo-key", Secret: pandapon.Secret(pandapon.NewNonce()), UserID: "demo-user",
	}
	if err = d.startSandbox(ctx, credentials); err != nil {
		return d, err
	}
	cfg, err := config.Load(config.Input{Sections: app.WorkerSections(), Given: demoSettings(d, credentials)})
	if err != nil {
		return d, err
	}
	cfg.Accounts[0].Name = demoAccount
	if err := d.startWorker(ctx, cfg, demoLog(stderr)); err != nil {
		return d, err
	}
	return d, d.startGateway(ctx, cfg)
}

// startRedis starts a Redis in this process.
func (d *demoStack) startRedis() error {
	mini := miniredis.NewMiniRedis()
	mini.ClockTTL(true) // else nothing expires by itself
	if err := mini.Start(); err != nil {
		return fmt.Errorf("start a redis in memory: %w", err)
	}
	d.redisURL, d.memory = "redis://"+mini.Addr()+"/0", true
	d.ends = append(d.ends, func() error { mini.Close(); return nil })
	return nil
}

// startSandbox starts the stand-in API on a free port of this machine's own.
func (d *demoStack) startSandbox(ctx context.Context, c pandapon.Credentials) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the sandbox: %w", err)
	}
	const thinking = 300 * time.Millisecond // so that an eye sees the state
	d.box = sandbox.New(sandbox.Config{
		Credentials: []pandapon.Credentials{c}, CheckNonce: true, Delay: thinking, MaxRequests: 10_000,
	})
	d.apiURL = "http://" + listener.Addr().String()
	stop := serve(ctx, listener, d.box, zap.NewNop())
	d.ends = append(d.ends, func() error { d.box.Close(); stop(); return nil })
	return nil
}

// startWorker starts a worker whose schedules are compressed, by settings that anybody could set.
func (d *demoStack) startWorker(ctx context.Context, cfg config.Config, log *zap.Logger) (err error) {
	if d.worker, err = app.NewWorker(ctx, cfg, log, build.Read().Version); err != nil {
		return err
	}
	if err := d.worker.Store.Answers(ctx, "--redis"); err != nil {
		return errors.Join(err, d.worker.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- d.worker.Run(ctx) }()
	d.ends = append(d.ends, func() error {
		cancel()
		return errors.Join(<-ended, d.worker.Close())
	})
	return nil
}

func demoSettings(d *demoStack, c pandapon.Credentials) map[string]config.Given {
	given := map[string]config.Given{"VOUCHERD_REDIS_URL": {Name: "--redis", Text: d.redisURL}}
	for env, text := range map[string]string{
		"PANDAPON_BASE_URL": d.apiURL, "PANDAPON_ACCESS_KEY": c.AccessKey,
		"PANDAPON_ACCESS_SECRET": c.Secret.Reveal(), "PANDAPON_USER_ID": c.UserID,
		"VOUCHERD_SHORT_SCHEDULE": "500ms,1s,2s", "VOUCHERD_LONG_SCHEDULE": "500ms,1s,2s",
		"VOUCHERD_OUTAGE_ROW": "3", "VOUCHERD_OUTAGE_BASE": "1s", "VOUCHERD_OUTAGE_MAX": "2s",
		"VOUCHERD_CALL_TIMEOUT": "5s", "VOUCHERD_RECONCILE_EVERY": "1s", "VOUCHERD_CONCURRENCY": "4",
		"VOUCHERD_GRACE": "5s",
	} {
		given[env] = config.Given{Name: env, Text: text}
	}
	return given
}

// demoLog lets only what must not happen through to the screen.
func demoLog(stderr io.Writer) *zap.Logger {
	return app.NewLog(stderr, config.Config{LogFormat: config.LogConsole}).WithOptions(zap.IncreaseLevel(zapcore.ErrorLevel))
}

// close ends everything in the reverse order of start.
func (d *demoStack) close() error {
	var errs []error
	for _, end := range slices.Backward(d.ends) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// about says what runs, and how to look into it from another terminal.
func (d *demoStack) about() string {
	kind, redis := "a Redis in memory", d.redisURL
	if !d.memory {
		kind, redis = "your Redis", "URL" // the user knows it, and it may hold a password
	}
	return fmt.Sprintf(`A worker, a gateway, a stand-in for PandaPon's API and %s; nothing leaves this machine.
While it runs, in a browser: %s/
and from another terminal:
  voucherd list --redis %s
  curl %s/_sandbox/requests
`, kind, d.gatewayURL, redis, d.apiURL)
}

// demoGatewayAddress is where the gateway listens by itself; another free port serves as well.
const demoGatewayAddress = "127.0.0.1:8080"

// startGateway opens the gateway of the demo's account, without tokens: on loopback, for whoever
// watches.
func (d *demoStack) startGateway(ctx context.Context, cfg config.Config) error {
	g, err := d.worker.Store.NewGateway(cfg, gateway.Config{}, d.worker.Metrics)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", demoGatewayAddress)
	if err != nil {
		listener, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return fmt.Errorf("listen for the gateway: %w", err)
	}
	d.gatewayURL = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, listener) }()
	d.ends = append(d.ends, func() error { cancel(); return <-ended })
	return nil
}
