package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
)

type gatewayCmd struct {
	Listen       string   `help:"Address of the gateway." default:"127.0.0.1:8080" placeholder:"ADDRESS" variable:"VOUCHERD_GATEWAY_LISTEN"`
	TokensFile   string   `help:"File with the tokens' lines, as token new prints them." placeholder:"FILE" variable:"VOUCHERD_GATEWAY_TOKENS_FILE"`
	TLSCert      string   `help:"Certificate for HTTPS, a PEM file; read again when it changes." name:"tls-cert" placeholder:"FILE" variable:"VOUCHERD_GATEWAY_TLS_CERT"`
	TLSKey       string   `help:"The certificate's key, a PEM file." name:"tls-key" placeholder:"FILE" variable:"VOUCHERD_GATEWAY_TLS_KEY"`
	TrustedProxy []string `help:"Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto count, as in 10.0.0.0/8." placeholder:"CIDR" variable:"VOUCHERD_GATEWAY_TRUSTED_PROXY"`

	kong.Plugins
}

// Help says what is not a flag.
func (gatewayCmd) Help() string {
	return "Tokens come from $VOUCHERD_GATEWAY_TOKENS (lines between commas) and from the tokens' file. " +
		"Without any the gateway listens on loopback only, and whoever uses this machine is an operator. " +
		"The account's secret comes from $PANDAPON_ACCESS_SECRET, or from the file that $PANDAPON_ACCESS_SECRET_FILE names; " +
		"calls of PandaPon's own API are checked with it."
}

// gatewaySections are those that the gateway has flags for. It reads the others from the
// environment, for it must agree with the workers.
func gatewaySections() []config.Section {
	return []config.Section{config.Connection, config.PandaPon, config.Intake, config.Keeping, config.Logging}
}

// gatewayReads are those that it reads.
func gatewayReads() []config.Section {
	return slices.Concat(app.StoreSections(), []config.Section{config.PandaPon, config.Logging})
}

// Run serves until the context ends.
func (c *gatewayCmd) Run(ctx context.Context, s *session) (err error) {
	cfg, own, err := c.load(s)
	if err != nil {
		return err
	}
	log := s.openLog(cfg)
	if len(own.Tokens) == 0 {
		log.Warn("gateway.without_tokens", zap.String("warning", "whoever uses this machine is an operator: make a token with "+
			"`voucherd token new`, and set VOUCHERD_GATEWAY_TOKENS_FILE or "+tokensVariable))
	}
	st, err := app.OpenStore(ctx, cfg, app.GatewayConns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	traces, err := app.OpenTraces(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, traces.Close()) }()
	own.Log, own.Traces = log, traces.Provider()
	metrics := st.Metrics()
	g, err := st.NewGateway(cfg, own, metrics)
	if err != nil {
		return err
	}
	if !st.Tasks.Spools() {
		if err = bindGateway(ctx, st, cfg, log); err != nil {
			return err
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen (--listen, VOUCHERD_GATEWAY_LISTEN): %w", err)
	}
	log.Info("gateway.listening", zap.Stringer("address", listener.Addr()),
		zap.Bool("tls", own.TLS != nil), zap.Int("tokens", len(own.Tokens)), zap.Int("accounts", len(cfg.Accounts)))
	apply := func(ctx context.Context, cfg config.Config) error {
		if bad := st.BindNow(ctx, cfg.Accounts); bad != nil {
			return bad
		}
		return g.SetAccounts(app.DropInAccounts(cfg))
	}
	defer s.reloadAccounts(ctx, cfg, reload{sections: gatewayReads(), apply: apply, refused: metrics.Refused, log: log})()
	err = runGateway(ctx, st, cfg, log, func(ctx context.Context) error { return g.Serve(ctx, listener) })
	log.Info("gateway.stopped", zap.Error(err))
	return err
}

// bindGateway waits for Redis, and binds the accounts to the blob store.
func bindGateway(ctx context.Context, st *app.Store, cfg config.Config, log *zap.Logger) error {
	st.Await(ctx, log, "gateway.waiting")
	return st.Bind(ctx, cfg.Accounts, log, "gateway.waiting")
}

// runGateway serves until the context ends. A gateway with a spool takes vouchers without Redis, and
// enqueues what waits once it is there.
func runGateway(ctx context.Context, st *app.Store, cfg config.Config, log *zap.Logger, serve func(context.Context) error) error {
	run, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if st.Tasks.Spools() {
		run.Go(func() error {
			if err := bindGateway(ctx, st, cfg, log); err != nil {
				return err
			}
			st.RunSpool(ctx, log)
			return nil
		})
	}
	run.Go(func() error {
		defer cancel()
		return serve(ctx)
	})
	return run.Wait()
}

// load reads the settings, all faults at once.
func (c *gatewayCmd) load(s *session) (config.Config, gateway.Config, error) {
	cfg, err := s.load(gatewayReads())
	var wrong []config.Fault
	if settings, ok := errors.AsType[*config.Error](err); ok {
		wrong = settings.Faults
	} else if err != nil {
		return cfg, gateway.Config{}, err
	}
	fault := func(name string, err error) {
		if err != nil {
			wrong = append(wrong, config.Fault{Name: name, Reason: err.Error()})
		}
	}
	var own gateway.Config
	own.Tokens = c.tokens(s, fault)
	for _, text := range c.TrustedProxy {
		network, bad := parseNetwork(text)
		fault("--trusted-proxy", bad)
		own.TrustedProxies = append(own.TrustedProxies, network)
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		fault("--tls-cert", errors.New("needs --tls-key too, and the other way round"))
	case c.TLSCert != "":
		own.TLS, err = gateway.LoadCertificate(c.TLSCert, c.TLSKey)
		fault("--tls-cert", err)
	}
	fault("--listen", c.checkListen(len(own.Tokens) > 0))
	if len(wrong) > 0 {
		return cfg, own, &config.Error{Faults: wrong}
	}
	return cfg, own, nil
}

// tokensVariable holds tokens' lines; as a secret it has no flag.
const tokensVariable = "VOUCHERD_GATEWAY_TOKENS"

// tokens reads the tokens of the variable and of the file.
func (c *gatewayCmd) tokens(s *session, fault func(string, error)) []gateway.Token {
	all, err := gateway.ParseTokens(s.getenv(tokensVariable))
	fault(tokensVariable, err)
	if c.TokensFile == "" {
		return all
	}
	text, err := os.ReadFile(c.TokensFile)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("there is no file %s: make a token with `voucherd token new`, and store its line there", c.TokensFile)
	}
	if err != nil {
		fault("--tokens-file", err)
		return all
	}
	more, err := gateway.ParseTokens(string(text))
	if err == nil && len(more) == 0 {
		// An empty file by mistake must not open the gateway to everybody on this machine.
		err = fmt.Errorf("%s holds no tokens: make one with `voucherd token new`", c.TokensFile)
	}
	fault("--tokens-file", err)
	return append(all, more...)
}

// checkListen refuses addresses that others can reach while there are no tokens.
func (c *gatewayCmd) checkListen(tokens bool) error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("%q is not an address: write it like 127.0.0.1:8080", c.Listen)
	}
	addr, err := netip.ParseAddr(host)
	if loopback := host == "localhost" || err == nil && addr.Unmap().IsLoopback(); !loopback && !tokens {
		return gateway.ErrNotLoopback
	}
	return nil
}

// parseNetwork reads 10.0.0.0/8, or one address.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not a network: write it like 10.0.0.0/8", s)
	}
	return p.Masked(), nil
}
