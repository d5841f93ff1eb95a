package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// atOnce is how many questions are asked of the ledger at a time.
const atOnce = 8

// reconcile stops the workers and holds the ledger against the API's log.
func (w *world) reconcile(ctx context.Context, handed []audit.Handed, retriedFrom time.Time) error {
	if err := w.storeEmpties(ctx, handed); err != nil {
		return err
	}
	w.stopWorkers()
	w.say("reconciling the ledger with the API's log")
	facts, err := w.facts(ctx, handed)
	if err != nil {
		return err
	}
	facts.RetriedFrom = retriedFrom
	found := audit.Run(facts)
	r := w.report
	r.Checks = append(found.Checks, r.Checks...)
	r.Resent, r.Attempts, r.Outcomes = found.Resent, found.Attempts, found.Outcomes
	if n := len(found.Resumed); n > 0 {
		r.Numbers = append(r.Numbers, fmt.Sprintf("interrupted attempts were followed by the next after %v to %v, half of them within %v",
			length(found.Resumed[0]), length(found.Resumed[n-1]), length(found.Resumed[n/2])))
	}
	if found.Late > 0 {
		r.Numbers = append(r.Numbers, fmt.Sprintf("%d calls had left when their account was told to wait, and arrived over 100 ms later", found.Late))
	}
	return w.summarize(ctx, facts)
}

// reconcileLosses holds what producers were told, the ledger and the API's log against each other after a run in which
// Redis forgot.
func (w *world) reconcileLosses(ctx context.Context, handed []audit.Handed, retriedFrom time.Time) error {
	w.stopWorkers()
	facts, err := w.facts(ctx, handed)
	if err != nil {
		return err
	}
	facts.RetriedFrom, facts.Losses, facts.InRedis = retriedFrom, w.losses, w.opts.store == storeRedis
	found, lost := audit.RunLosses(facts)
	r := w.report
	r.Checks, r.Resent = append(found.Checks, r.Checks...), found.Resent
	r.Left = append(r.Left, fmt.Sprintf("lost with Redis: %d uploads, of which the API had taken %d; %d calls",
		lost.Uploads, lost.Taken, lost.Calls))
	return w.summarize(ctx, facts)
}

// summarize counts requests and uploads, and looks for secrets.
func (w *world) summarize(ctx context.Context, facts audit.Facts) (err error) {
	r := w.report
	r.Requests = len(facts.Requests)
	for _, q := range facts.Requests {
		if q.Accepted {
			r.Accepted++
		}
	}
	if _, r.States, err = w.unfinished(ctx); err != nil {
		return err
	}
	return w.secrets(ctx)
}

// facts asks the ledger for every upload, and searches for every request id that the API gave.
func (w *world) facts(ctx context.Context, handed []audit.Handed) (audit.Facts, error) {
	_, killed, _ := w.fleet.account()
	f := audit.Facts{
		Handed: handed, Requests: w.api.Requests(), Uploads: map[string]ledger.Upload{}, Found: map[string][]string{},
		Killed: killed, RedisAway: w.redis.absences(), ThrottleFor: time.Second,
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, h := range handed {
		g.Go(func() error {
			u, err := w.client.Get(gctx, h.UploadID)
			if errors.Is(err, ledger.ErrNotFound) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			f.Uploads[h.UploadID] = u
			return err //nolint:wrapcheck // the client says enough
		})
	}
	if err := g.Wait(); err != nil {
		return f, err //nolint:wrapcheck // as above
	}
	return f, w.search(ctx, &f)
}

// search looks for every request id in the API's log and in the ledger.
func (w *world) search(ctx context.Context, f *audit.Facts) error {
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
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for id := range ids {
		g.Go(func() error {
			us, err := w.client.Find(ctx, id)
			if err != nil && !errors.Is(err, ledger.ErrNotFound) {
				return err //nolint:wrapcheck // the client says enough
			}
			mu.Lock()
			defer mu.Unlock()
			for _, u := range us {
				f.Found[id] = append(f.Found[id], u.ID)
			}
			return nil
		})
	}
	return g.Wait() //nolint:wrapcheck // as above
}

// secrets looks for secrets, and for vouchers, where they must not be.
func (w *world) secrets(ctx context.Context) error {
	var found []string
	looked := 0
	look := func(name, text string, words ...string) {
		looked++
		for i, word := range words {
			if strings.Contains(text, word) {
				found = append(found, fmt.Sprintf("%s holds secret %d", name, i+1))
			}
		}
	}
	secrets := []string{"iVBORw0KGgo", "\x89PNG"} // how vouchers begin
	for _, a := range w.accounts {
		secrets = append(secrets, a.creds.Secret.Reveal())
	}
	if err := w.fleet.logs(ctx, func(name, text string) { look(name, text, secrets...) }); err != nil {
		return err
	}
	walk := func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		looked++
		in, err := holds(filepath.Join(w.dir, path), secrets[2:])
		if in {
			found = append(found, path+" holds a secret")
		}
		return err
	}
	if err := fs.WalkDir(os.DirFS(w.dir), "redis", walk); err != nil {
		return fmt.Errorf("look into redis' files: %w", err)
	}
	w.report.check("no secret, and no voucher, is in a log, and no secret in Redis", looked, found...)
	return nil
}

// holds says whether a file holds one of these words, however large it is.
func holds(path string, words []string) (bool, error) {
	f, err := os.Open(path) //nolint:gosec // in our own directory
	if err != nil {
		return false, err //nolint:wrapcheck // it names the file
	}
	defer f.Close()    //nolint:errcheck // only read
	const overlap = 64 // longer than any word
	buf := make([]byte, 1<<20)
	from := 0
	for {
		n, err := f.Read(buf[from:])
		seen := buf[:from+n]
		for _, word := range words {
			if bytes.Contains(seen, []byte(word)) {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err //nolint:wrapcheck // it names the file
		}
		from = copy(buf, seen[max(0, len(seen)-overlap):])
	}
}
