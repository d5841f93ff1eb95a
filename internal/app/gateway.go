package app

import (
	"context"
	"fmt"

	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/gateway"
	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/metrics"
)

// GatewayConns are a gateway's connections to Redis: for every upload that is taken at once, and
// some who read.
const GatewayConns = 96

// NewGateway puts a gateway on this store. To what own says of tokens, proxies, TLS and the log, it
// adds the store, the metrics, asynqmon, and the accounts and limits of the settings. Nothing runs
// yet.
func (s *Store) NewGateway(cfg config.Config, own gateway.Config, m *metrics.Metrics) (*gateway.Gateway, error) {
	own.Tasks, own.Ready, own.Redis = s.Tasks, s.Ready, s.Redis
	own.Webhooks = func(ctx context.Context, account string) (events.Status, bool, error) {
		return events.ReadStatus(ctx, s.Redis, s.Tasks, account)
	}
	own.Metrics, own.Enqueued, own.Requested = m.Handler(), m.Enqueued, m.Requested
	own.Rule, own.MaxVoucherBytes = cfg.Rule, cfg.MaxVoucherBytes
	own.Accounts = DropInAccounts(cfg)
	var err error
	if own.Queues, err = gateway.NewQueues(s.Redis, false); err != nil {
		return nil, fmt.Errorf("make asynqmon: %w", err)
	}
	if own.QueuesReadOnly, err = gateway.NewQueues(s.Redis, true); err != nil {
		return nil, fmt.Errorf("make asynqmon: %w", err)
	}
	return gateway.New(own)
}

// DropInAccounts gives the accounts of the settings as a gateway takes them.
func DropInAccounts(cfg config.Config) []dropin.Account {
	var accounts []dropin.Account
	for _, a := range cfg.Accounts {
		accounts = append(accounts, dropin.Account{
			Name: a.Name, Credentials: a.Credentials, BaseURL: a.BaseURL, UploadPath: a.UploadPath,
		})
	}
	return accounts
}
