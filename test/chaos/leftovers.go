package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// storeEmpties waits until no delivered upload's voucher is kept any more. What a producer stored and never got
// accepted is nobody's, and goes when it is old.
func (w *world) storeEmpties(ctx context.Context, handed []audit.Handed) error {
	// A reconciler that was killed may have had its turn for half a minute.
	const limit = 45 * time.Second
	var claimed []string
	var orphans int
	err := until(ctx, limit, "delivered vouchers have left the blob store", func() bool {
		var err error
		claimed, orphans, err = w.kept(ctx)
		return err == nil && len(claimed) == 0
	})
	if err != nil {
		claimed = append(w.holders(ctx, claimed, handed), err.Error())
	}
	w.report.check("vouchers leave the blob store when they are delivered", w.opts.vouchers, claimed...)
	if orphans > 0 {
		w.report.Left = append(w.report.Left, fmt.Sprintf(
			"%d vouchers that no upload claims; they go when they are older than the orphan age", orphans))
	}
	return nil
}

// holders says which uploads hold these vouchers.
func (w *world) holders(ctx context.Context, keys []string, handed []audit.Handed) []string {
	by := map[string]string{}
	for _, h := range handed {
		if u, err := w.client.Get(ctx, h.UploadID); err == nil && u.StoreKey != "" {
			by[u.StoreKey] = fmt.Sprintf("held by %s (%s)", u.ID, u.State)
		}
	}
	told := make([]string, len(keys))
	for i, k := range keys {
		told[i] = k + " " + cmp.Or(by[k], "held by no upload")
	}
	return told
}

// kept gives the vouchers in the blob store that an upload claims, and how many nobody does.
func (w *world) kept(ctx context.Context) (claimed []string, orphans int, err error) {
	for _, account := range w.accountNames() {
		const most = 10_000
		unclaimed, err := w.store.Unclaimed(ctx, account, 0, most)
		if err != nil {
			return nil, 0, fmt.Errorf("list unclaimed vouchers: %w", err)
		}
		orphans += len(unclaimed)
		if _, onDisk := w.store.(*blob.Dir); onDisk {
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
	if dir, onDisk := w.store.(*blob.Dir); onDisk {
		for s, err := range dir.All(ctx) {
			if err != nil {
				return nil, 0, fmt.Errorf("list the blob store: %w", err)
			}
			if s.UploadID != "" && ledger.State(s.State) != ledger.Delivered { // of those only a note stays
				claimed = append(claimed, s.Key+" of "+s.UploadID)
			}
		}
	}
	return claimed, orphans, nil
}
