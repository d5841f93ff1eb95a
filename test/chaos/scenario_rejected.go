package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/chaos/audit"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// runRejected lets every upload be refused for good, more of them than asynq's archive would keep,
// and then sends all again with one command.
func (w *testbed) runRejected(ctx context.Context) error {
	w.api.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: plan.FinalCode, Msg: "no such order"})
	if err := w.startWorkers(); err != nil {
		return err
	}
	enqueued, err := w.enqueueAll(ctx)
	if err != nil {
		return err
	}
	if err = w.drain(ctx, w.opts.Drain); err != nil {
		return err
	}
	if err = w.listed(ctx, enqueued); err != nil {
		return err
	}
	began := time.Now()
	n, err := w.retryRejected(ctx)
	if err != nil {
		return err
	}
	var some []string
	if n != w.opts.N {
		some = append(some, strconv.Itoa(n))
	}
	w.report.check("every upload was rejected", w.opts.N, some...)
	return w.reconcile(ctx, enqueued, began)
}

// listed asks the command line for what was rejected.
func (w *testbed) listed(ctx context.Context, enqueued []audit.Enqueued) error {
	out, err := w.voucherd(ctx, "list", "--state", "rejected", "--json", "--limit", strconv.Itoa(2*len(enqueued)))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for row := range strings.Lines(out) {
		var u ledger.Upload
		if err := json.Unmarshal([]byte(row), &u); err != nil {
			return fmt.Errorf("read what `voucherd list --json` printed: %w", err)
		}
		if u.State == ledger.Rejected && u.Code == strconv.Itoa(plan.FinalCode) {
			seen[u.ID] = true
		}
	}
	var missing []string
	for _, e := range enqueued {
		if !seen[e.UploadID] {
			missing = append(missing, e.UploadID)
		}
	}
	w.report.check("`voucherd list --state rejected` lists every rejected upload, with the code", len(enqueued), missing...)
	return nil
}
