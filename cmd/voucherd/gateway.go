package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/metrics"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

type gatewayCmd struct {
	Listen       string   `help:"Address of the gateway." default:"127.0.0.1:8080" placeholder:"ADDRESS" variable:"VOUCHERD_GATEWAY_LISTEN" otherwise:"127.0.0.1:8080"`
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

// Run serves until the context ends.
func (c *gatewayCmd) Run(ctx context.Context, s *session) (err error) {
	cfg, own, err := c.load(s)
	if err != nil {
		return err
	}
	log := newLog(s.stderr, cfg)
	for _, w := range cfg.Warnings {
		log.Warn("settings.warning", zap.String("warning", w))
	}
	s.logUnknown(log)
	if len(own.Tokens) == 0 {
		log.Warn("gateway.without_tokens", zap.String("warning", "whoever uses this machine is an operator: make a token with "+
			"`voucherd token new`, and set VOUCHERD_GATEWAY_TOKENS_FILE or "+tokensVariable))
	}
	st, err := openStore(ctx, cfg, gatewayConns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	own.Tasks, own.Store, own.Log = st.tasks, st.store, log
	own.Ready, own.History = st.ready, st.ledger
	m := metrics.New()
	m.Watch(st.redis)
	m.WatchAccounts(st.tasks)
	own.Metrics, own.Enqueued = m.Handler(), m.Enqueued
	if err = st.serveQueues(&own); err != nil {
		return err
	}
	g, err := gateway.New(own)
	if err != nil {
		return err //nolint:wrapcheck // it says what is wrong
	}
	st.await(ctx, log, "gateway.waiting")
	if err = st.bind(ctx, cfg, log); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen (--listen, VOUCHERD_GATEWAY_LISTEN): %w", err)
	}
	log.Info("gateway.listening", zap.Stringer("address", listener.Addr()),
		zap.Bool("tls", own.TLS != nil), zap.Int("tokens", len(own.Tokens)), zap.Int("accounts", len(own.Accounts)))
	err = g.Serve(ctx, listener)
	log.Info("gateway.stopped", zap.Error(err))
	return err //nolint:wrapcheck // it says what is wrong
}

// gatewayConns are connections to Redis: for every upload that is taken at once, and some who read.
const gatewayConns = 96

// load reads the settings, all faults at once.
func (c *gatewayCmd) load(s *session) (config.Config, gateway.Config, error) {
	sections := slices.Concat(storeSections(), []config.Section{config.PandaPon, config.Logging})
	cfg, err := s.load(sections)
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
	own := gateway.Config{Rule: cfg.Rule, MaxVoucherBytes: cfg.MaxVoucherBytes}
	for _, a := range cfg.Accounts {
		own.Accounts = append(own.Accounts, dropin.Account{
			Name: a.Name, Credentials: a.Credentials, BaseURL: a.BaseURL, UploadPath: a.UploadPath,
		})
	}
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

// serveQueues adds asynqmon.
func (st *store) serveQueues(own *gateway.Config) (err error) {
	if own.Queues, err = gateway.NewQueues(st.redis, false); err != nil {
		return fmt.Errorf("make asynqmon: %w", err)
	}
	if own.QueuesReadOnly, err = gateway.NewQueues(st.redis, true); err != nil {
		return fmt.Errorf("make asynqmon: %w", err)
	}
	return nil
}

// ready says whether vouchers can be stored.
func (st *store) ready(ctx context.Context) error {
	if err := st.redis.Ping(ctx).Err(); err != nil {
		return redisconn.Explain(st.redis, err)
	}
	return st.store.Check(ctx) //nolint:wrapcheck // it says what is wrong
}

// bind notes that the accounts' vouchers lie in this blob store, once Redis answers. A blob store
// that the workers do not have would swallow vouchers, so it is refused.
func (st *store) bind(ctx context.Context, cfg config.Config, log *zap.Logger) error {
	for {
		err := st.tryBind(ctx, cfg)
		if err == nil || errors.Is(err, ledger.ErrOtherStore) {
			return err
		}
		log.Warn("gateway.waiting", zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(awaitPause):
		}
	}
}

func (st *store) tryBind(ctx context.Context, cfg config.Config) error {
	identity, err := st.store.Identity(ctx)
	if err != nil {
		return fmt.Errorf("name the blob store: %w", err)
	}
	for _, a := range cfg.Accounts {
		if err := st.ledger.BindStore(ctx, a.Name, identity); err != nil {
			return redisconn.Explain(st.redis, err)
		}
	}
	return nil
}
