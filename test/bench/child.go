package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/test/bench/naive"
)

// A system under test is this program again, told by its first arguments what to be and by its
// environment how: voucherd's own variables, and these.
const (
	childArgument = "child"
	profileEnv    = "BENCH_PROFILE" // takes a CPU profile of the whole life
	listenEnv     = "BENCH_LISTEN"  // the gateway's address
)

// child is a child's main: it does its work until the context ends.
func child(ctx context.Context, args []string) error {
	if path := os.Getenv(profileEnv); path != "" {
		f, err := os.Create(path) //nolint:gosec // where the user wants it
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return fmt.Errorf("make the profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	cfg, err := settings(os.Getenv)
	if err != nil {
		return err
	}
	switch args[0] {
	case kindWorker:
		return runWorker(ctx, cfg)
	case kindGateway:
		return runGateway(ctx, cfg)
	case kindNaive:
		return runNaive(ctx, cfg)
	default:
		return runLoop(ctx, cfg, args[1:])
	}
}

// settings reads voucherd's settings as its commands do, all with their defaults unless set.
func settings(env func(string) string) (config.Config, error) {
	in := config.Input{Given: map[string]config.Given{}, Sections: app.WorkerSections()}
	for _, s := range config.Settings() {
		if text := env(s.Env); text != "" {
			in.Given[s.Env] = config.Given{Name: s.Env, Text: text}
		}
	}
	return config.Load(in)
}

func runWorker(ctx context.Context, cfg config.Config) error {
	w, err := app.NewWorker(ctx, cfg, app.NewLog(os.Stderr, cfg), childArgument)
	if err != nil {
		return err
	}
	return errors.Join(w.Run(ctx), w.Close())
}

func runGateway(ctx context.Context, cfg config.Config) error {
	st, err := app.OpenStore(ctx, cfg, app.GatewayConns)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // the process ends
	log := app.NewLog(os.Stderr, cfg)
	if err = st.Bind(ctx, cfg.Accounts, log, "gateway.waiting"); err != nil {
		return err
	}
	g, err := st.NewGateway(cfg, gateway.Config{Log: log}, st.Metrics())
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", os.Getenv(listenEnv))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return g.Serve(ctx, l)
}

// runNaive is a worker as one writes it in an afternoon, with as many connections as voucherd's.
func runNaive(ctx context.Context, cfg config.Config) error {
	account := cfg.Accounts[0]
	rdb, err := plainRedis(cfg)
	if err != nil {
		return err
	}
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: account.Concurrency, Queues: map[string]int{naive.Queue: 1}, LogLevel: asynq.WarnLevel,
	})
	h := &naive.Handler{HTTP: pooled(account.Concurrency), URL: account.BaseURL + account.UploadPath, Credentials: account.Credentials}
	if err = server.Start(h); err != nil {
		return fmt.Errorf("start the naive worker: %w", err)
	}
	<-ctx.Done()
	server.Shutdown()
	return rdb.Close()
}

// runLoop is the yardstick: encode, sign and send so many vouchers of a size in a loop, without
// queue or record. Nothing that delivers over HTTP can be faster by much.
func runLoop(ctx context.Context, cfg config.Config, args []string) error {
	n, nerr := strconv.Atoi(args[0])
	bytesEach, serr := strconv.Atoi(args[1])
	if err := errors.Join(nerr, serr); err != nil {
		return fmt.Errorf("read the arguments: %w", err)
	}
	account, raw := cfg.Accounts[0], voucher(bytesEach)
	client := pooled(account.Concurrency)
	_, _, err := many(ctx, n, account.Concurrency, time.Hour, func() func(int) error {
		var body []byte // of this goroutine
		return func(i int) error {
			body = append(body[:0], uploadPrefix...)
			body = base64.StdEncoding.AppendEncode(body, raw)
			body = append(body, uploadMiddle+orderID(i)+`"}`...)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, account.BaseURL+account.UploadPath, bytes.NewReader(body))
			if err != nil {
				return fmt.Errorf("make the request: %w", err)
			}
			naive.Sign(req, account.Credentials)
			return naive.Send(client, req)
		}
	})
	<-ctx.Done() // what it used is read while it lives
	return err
}

func pooled(conns int) *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConns: conns, MaxIdleConnsPerHost: conns, DisableCompression: true},
	}
}

func credentials() pandapon.Credentials {
	return pandapon.Credentials{AccessKey: "0123456789abcdef0123456789abcdef", Secret: "bench-secret", UserID: "1"}
}
