package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// reconcile stops the workers and holds the ledger against the API's log.
func (w *testbed) reconcile(ctx context.Context, enqueued []audit.Enqueued, retriedFrom time.Time) error {
	w.storeEmpties(ctx, enqueued)
	w.workers.stopAll()
	w.say("reconciling the ledger with the API's log")
	facts, err := w.facts(ctx, enqueued, retriedFrom)
	if err != nil {
		return err
	}
	found := audit.Run(facts)
	r := w.report
	r.audited(found)
	r.row("attempts per upload", "%s", counted(found.Attempts))
	r.row("attempts by outcome", "%s", counted(found.Outcomes))
	if n := len(found.Resumed); n > 0 {
		r.row("", "interrupted attempts were followed by the next after %v to %v, half of them within %v",
			short(found.Resumed[0]), short(found.Resumed[n-1]), short(found.Resumed[n/2]))
	}
	if found.Late > 0 {
		r.row("", "%d calls had left when their account was told to wait, and arrived over 100 ms later", found.Late)
	}
	return w.summarize(ctx, facts)
}

// reconcileLosses holds what producers were told, the ledger and the API's log against each other
// after a run in which Redis forgot.
func (w *testbed) reconcileLosses(ctx context.Context, enqueued []audit.Enqueued, retriedFrom time.Time) error {
	w.workers.stopAll()
	facts, err := w.facts(ctx, enqueued, retriedFrom)
	if err != nil {
		return err
	}
	facts.Losses, facts.InRedis = w.losses, w.opts.store == storeRedis
	found, lost := audit.RunLosses(facts)
	w.report.audited(found)
	w.report.row("lost with Redis", "%d uploads, of which the API had taken %d; %d calls", lost.Uploads, lost.Taken, lost.Calls)
	return w.summarize(ctx, facts)
}

// summarize counts requests and uploads, and looks for secrets.
func (w *testbed) summarize(ctx context.Context, facts audit.Facts) error {
	accepted := 0
	for _, q := range facts.Requests {
		if q.Accepted {
			accepted++
		}
	}
	_, states, err := w.unfinished(ctx)
	if err != nil {
		return err
	}
	w.report.row("states in the end", "%s", counted(states))
	w.report.row("requests at the API", "%d, of which it took %d", len(facts.Requests), accepted)
	return w.secrets()
}

// facts asks the ledger for every upload, and searches for every request id that the API gave or
// the ledger shows.
func (w *testbed) facts(ctx context.Context, enqueued []audit.Enqueued, retriedFrom time.Time) (audit.Facts, error) {
	_, killed, _ := w.workers.summary()
	f := audit.Facts{
		Enqueued: enqueued, Requests: w.api.Requests(), Uploads: map[string]ledger.Upload{}, Found: map[string][]string{},
		Killed: killed, RedisAway: w.redis.absences(), ThrottleFor: time.Second, RetriedFrom: retriedFrom,
	}
	var mu sync.Mutex
	err := each(ctx, slices.Values(enqueued), func(ctx context.Context, e audit.Enqueued) error {
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
		return f, err
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
	return f, each(ctx, maps.Keys(ids), func(ctx context.Context, id string) error {
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

// secrets looks for secrets in the workers' logs and in Redis' files, and for vouchers in the logs.
func (w *testbed) secrets() error {
	inRedis := []string{}
	for _, a := range w.accounts {
		inRedis = append(inRedis, a.creds.Secret.Reveal())
	}
	inLogs := append([]string{"iVBORw0KGgo", "\x89PNG"}, inRedis...) // how vouchers begin
	var found []string
	looked := 0
	for dir, words := range map[string][]string{"workers": inLogs, "redis": inRedis} {
		err := fs.WalkDir(os.DirFS(w.dir), dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(filepath.Join(w.dir, path)) //nolint:gosec // in our own directory
			looked++
			for i, word := range words {
				if bytes.Contains(text, []byte(word)) {
					found = append(found, fmt.Sprintf("%s holds secret %d", path, i+1))
				}
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("look for secrets: %w", err)
		}
	}
	w.report.check("no secret, and no voucher, is in a log, and no secret in Redis", looked, found...)
	return nil
}

// storeEmpties waits until no delivered upload's voucher is kept any more. What a producer stored
// and never got accepted is nobody's, and goes when it is old.
func (w *testbed) storeEmpties(ctx context.Context, enqueued []audit.Enqueued) {
	const limit = 45 * time.Second // a reconciler that was killed may have had its turn for half a minute
	var claimed []string
	var orphans int
	err := until(ctx, limit, "delivered vouchers have left the blob store", func() bool {
		var err error
		claimed, orphans, err = w.kept(ctx)
		return err == nil && len(claimed) == 0
	})
	if err != nil {
		claimed = append(w.holders(ctx, claimed, enqueued), err.Error())
	}
	w.report.check("vouchers leave the blob store when they are delivered", w.opts.vouchers, claimed...)
	if orphans > 0 {
		w.report.row("left over", "%d vouchers that no upload claims; they go when they are older than the orphan age", orphans)
	}
}

// holders says which uploads hold these vouchers.
func (w *testbed) holders(ctx context.Context, keys []string, enqueued []audit.Enqueued) []string {
	by := map[string]string{}
	for _, e := range enqueued {
		if u, err := w.client.Get(ctx, e.UploadID); err == nil && u.StoreKey != "" {
			by[u.StoreKey] = fmt.Sprintf("held by %s (%s)", u.ID, u.State)
		}
	}
	for i, k := range keys {
		keys[i] = k + " " + cmp.Or(by[k], "held by no upload")
	}
	return keys
}

// kept gives the keys of the vouchers in the blob store that an upload claims, and how many nobody
// does.
func (w *testbed) kept(ctx context.Context) (claimed []string, orphans int, err error) {
	onDisk := w.opts.store == storeFile
	for _, account := range w.accountNames() {
		const most = 10_000
		unclaimed, err := w.store.Unclaimed(ctx, account, 0, most)
		if err != nil {
			return nil, 0, fmt.Errorf("list unclaimed vouchers: %w", err)
		}
		orphans += len(unclaimed)
		if onDisk {
			continue
		}
		prefix := "voucherd:{" + ledger.Queue(account) + "}:v:"
		keys, err := w.rdb.Keys(ctx, prefix+"*").Result()
		if err != nil {
			return nil, 0, fmt.Errorf("list the blob store: %w", err)
		}
		for _, k := range keys {
			key := account + "-" + strings.TrimPrefix(k, prefix)
			if !slices.ContainsFunc(unclaimed, func(u blob.Unclaimed) bool { return u.Key == key }) {
				claimed = append(claimed, key)
			}
		}
	}
	if !onDisk {
		return claimed, orphans, nil
	}
	for s, err := range w.store.All(ctx) {
		if err != nil {
			return nil, 0, fmt.Errorf("list the blob store: %w", err)
		}
		if ledger.State(s.State) != ledger.Delivered { // of those only a note stays
			claimed = append(claimed, s.Key)
		}
	}
	return claimed, orphans, nil
}
