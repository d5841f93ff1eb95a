package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/process"
)

// reconcile stops the workers and holds what producers were told, the ledger and the API's log
// against each other. It takes its time to tell what has not drained in time, one by one.
func (w *testbed) reconcile(ctx context.Context, enqueued []audit.Enqueued, retriedFrom time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if w.opts.Scenario != scenarioFailover { // where Redis may forget that a voucher is to go
		w.storeEmpties(ctx)
	}
	w.stopWorkers()
	w.say("reconciling the ledger with the API's log")
	killed, frozen := w.interruptions()
	f := audit.Facts{
		Enqueued: enqueued, Requests: w.api.Requests(), Uploads: map[string]ledger.Upload{}, Found: map[string][]string{},
		Killed: killed, Frozen: frozen, RedisAway: w.redis.spans(), ThrottleFor: time.Second,
		RetriedFrom: retriedFrom, Losses: w.losses, InRedis: w.opts.Store == storeRedis,
	}
	if w.network != nil {
		w.network.facts(&f, w.workers)
	}
	if err := w.lookUp(ctx, &f); err != nil {
		return err
	}
	w.report.audited(audit.Run(f))
	accepted := 0
	for _, q := range f.Requests {
		if q.Accepted {
			accepted++
		}
	}
	_, states, err := w.unfinished(ctx)
	w.report.row("states in the end", "%s", counted(states))
	w.report.row("requests at the API", "%d, of which it took %d", len(f.Requests), accepted)
	return errors.Join(err, w.secrets(ctx))
}

// lookUp asks the ledger for every upload, and searches for every request id that the API gave or
// the ledger shows.
func (w *testbed) lookUp(ctx context.Context, f *audit.Facts) error {
	var mu sync.Mutex
	err := each(ctx, slices.Values(f.Enqueued), func(ctx context.Context, e audit.Enqueued) error {
		u, err := w.client.Get(ctx, e.UploadID)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		f.Uploads[e.UploadID] = u
		return nil
	})
	if err != nil {
		return err
	}
	ids := map[string]bool{}
	for _, r := range f.Requests {
		ids[r.RequestID] = true
	}
	for _, u := range f.Uploads {
		for _, a := range u.Attempts {
			ids[a.RequestID] = true
		}
	}
	delete(ids, "")
	return each(ctx, maps.Keys(ids), func(ctx context.Context, id string) error {
		us, err := w.client.Find(ctx, id)
		mu.Lock()
		defer mu.Unlock()
		for _, u := range us {
			f.Found[id] = append(f.Found[id], u.ID)
		}
		return err
	})
}

// each asks the ledger about each of many, some at a time. What it does not know is no error.
func each[T any](ctx context.Context, all iter.Seq[T], ask func(context.Context, T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for one := range all {
		g.Go(func() error {
			if err := ask(ctx, one); !errors.Is(err, ledger.ErrNotFound) {
				return err
			}
			return nil
		})
	}
	return g.Wait()
}

const picture = "\x89PNG" // how vouchers begin

// secrets looks for secrets in the workers' logs and in Redis' files, and for vouchers in the logs.
func (w *testbed) secrets(ctx context.Context) error {
	words := []string{}
	for _, a := range w.accounts {
		words = append(words, "-e", a.creds.Secret.Reveal())
	}
	var found []string
	for dir, args := range map[string][]string{"redis": words, "workers": append(words, "-e", "iVBORw0KGgo", "-e", picture[1:]+"\r")} {
		cmd := exec.CommandContext(ctx, "grep", append(append([]string{"-rlaF"}, args...), filepath.Join(w.dir, dir))...) //nolint:gosec // all arguments are ours
		out, err := cmd.Output()
		const nothing = 1
		if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != nothing) {
			return fmt.Errorf("look for secrets: %w", err)
		}
		found = append(found, strings.Fields(string(out))...)
	}
	w.report.check("no secret, and no voucher, is in a log, and no secret in Redis", len(words), found...)
	return nil
}

// storeEmpties waits until no delivered upload's voucher is kept any more. What a producer stored
// and never got accepted is nobody's, and goes when it is old.
func (w *testbed) storeEmpties(ctx context.Context) {
	const limit = 45 * time.Second // a reconciler that was killed may have had its turn for half a minute
	var claimed []string
	err := process.Until(ctx, limit, "delivered vouchers have left the blob store", func() (so bool) {
		var err error
		claimed, err = w.kept(ctx)
		return err == nil && len(claimed) == 0
	})
	if err != nil {
		claimed = append(claimed, err.Error())
	}
	w.report.check("vouchers leave the blob store when they are delivered", w.opts.N, claimed...)
}

// keysOfVouchers finds them by how they begin, whatever their keys are called.
const keysOfVouchers = `
local found = {}
for _, key in ipairs(redis.call('KEYS', 'voucherd:*')) do
  local kind, values = redis.call('TYPE', key).ok, {}
  if kind == 'string' then values = { redis.call('GETRANGE', key, 0, 9) } end
  if kind == 'list' then values = redis.call('LRANGE', key, 0, 0) end
  if kind == 'hash' then values = redis.call('HVALS', key) end
  for _, v in ipairs(values) do
    if v:sub(1, 4) == ARGV[1] then found[#found + 1] = key end
  end
end
return found`

// kept names the vouchers in Redis or in the blob store that an upload claims.
func (w *testbed) kept(ctx context.Context) (claimed []string, err error) {
	if w.opts.Store == storeFile {
		for s, err := range w.Blob.All(ctx) {
			if err != nil {
				return nil, fmt.Errorf("list the blob store: %w", err)
			}
			if ledger.State(s.State) != ledger.Delivered { // of those only a note stays
				claimed = append(claimed, s.Key)
			}
		}
		return claimed, nil
	}
	keys, err := w.Redis.Eval(ctx, keysOfVouchers, nil, picture).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("list the vouchers in redis: %w", err)
	}
	for _, a := range w.accounts {
		const most = 10_000
		unclaimed, err := w.Blob.Unclaimed(ctx, a.name, 0, most)
		if err != nil {
			return nil, fmt.Errorf("list unclaimed vouchers: %w", err)
		}
		for _, u := range unclaimed {
			id := strings.TrimPrefix(u.Key, a.name+"-")
			keys = slices.DeleteFunc(keys, func(key string) bool { return strings.Contains(key, id) })
		}
	}
	return keys, nil
}
