package worker

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/accountname"
	"github.com/voucherd/voucherd/ledger"
)

// SetAccounts makes a worker that runs work on these accounts and no others, and touches none that is
// as it was. Work on a new or changed account begins at once; calls under way that belong to its
// former settings, or to an account that is gone, finish meanwhile. After an error all is as before.
func (w *Worker) SetAccounts(ctx context.Context, accounts []AccountConfig) error {
	w.changing.Lock() // Run does not stop meanwhile
	defer w.changing.Unlock()
	before, up := w.working()
	if !up {
		return errNotRunning
	}
	next, err := w.accountsOf(accounts, before)
	if err != nil {
		return err
	}
	added, gone := without(next, before), without(before, next)
	if err := w.bindOnce(ctx, added); err != nil || len(added)+len(gone) == 0 {
		return err
	}
	for _, b := range gone {
		b.quiesce() //nolint:contextcheck // what goes back does so whatever the caller does
	}
	for _, a := range added {
		w.renew(ctx, gone, a)
		if err := a.start(); err != nil { //nolint:contextcheck // an account ends by stop, in order, not with the context
			return fmt.Errorf("start account %s: %w", a.name, err) // asynq refuses no server that is new
		}
	}
	for _, b := range gone {
		w.leaving.Go(func() { //nolint:contextcheck // the calls end by themselves, not with the context
			b.drain()
			for _, a := range added {
				w.renew(context.Background(), []*account{b}, a) // for what these calls learned
			}
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accounts = next
	w.relisten()
	w.cfg.Log.Info("worker.accounts_changed", zap.Strings("begun", names(added)), zap.Strings("ended", names(gone)))
	return nil
}

// accountsOf makes the accounts of a worker, which do nothing yet; those that are known it takes.
func (w *Worker) accountsOf(configs []AccountConfig, known []*account) ([]*account, error) {
	var accounts []*account
	for _, ac := range configs {
		if !ledger.ValidAccount(ac.Name) {
			return nil, fmt.Errorf("account: %q %s", ac.Name, accountname.Rule)
		}
		ac.Concurrency = max(1, ac.Concurrency)
		if i := slices.IndexFunc(known, func(k *account) bool { return k.cfg == ac }); i >= 0 {
			accounts = append(accounts, known[i])
			continue
		}
		accounts = append(accounts, newAccount(w.cfg, ac))
	}
	return accounts, nil
}

// without gives the accounts that are not among others.
func without(accounts, others []*account) []*account {
	return slices.DeleteFunc(slices.Clone(accounts), func(a *account) bool { return slices.Contains(others, a) })
}

// renew tells the ledger of an account that has other credentials than the one that is gone, and
// lets it ask at once whether these are right.
func (w *Worker) renew(ctx context.Context, gone []*account, a *account) {
	i := slices.IndexFunc(gone, func(b *account) bool { return b.name == a.name })
	if i < 0 || gone[i].cfg.Credentials == a.cfg.Credentials {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Settings.RedisTimeout)
	defer cancel()
	if err := w.cfg.Ledger.Renew(ctx, a.name); err != nil {
		w.cfg.Log.Warn("ledger.unreachable", zap.String("account", a.name), zap.Error(err))
	}
	a.delivery.slots.release()
}

// working gives the accounts that it works on, and whether it does.
func (w *Worker) working() (accounts []*account, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accounts, w.up
}

func names(accounts []*account) []string {
	all := make([]string, 0, len(accounts))
	for _, a := range accounts {
		all = append(all, a.name)
	}
	return all
}

// listen wakes the accounts for which there may be tasks.
func (w *Worker) listen(ctx context.Context) {
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		byName := map[string]*account{}
		w.mu.Lock()
		w.relisten = cancel
		for _, a := range w.accounts {
			byName[a.name] = a
		}
		accounts := names(w.accounts)
		w.mu.Unlock()
		w.cfg.Tasks.Listen(round, accounts, func(name string) { byName[name].fetcher.signal() })
		cancel()
	}
}
