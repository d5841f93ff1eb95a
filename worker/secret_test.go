package worker_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// TestNothingSecretLeaksOut runs with every fault on, and looks for the secret and the vouchers in
// all that is written: the log down to debug, the ledger as JSON, and every key of Redis but the
// blob store's.
func TestNothingSecretLeaksOut(t *testing.T) {
	t.Parallel()
	var written strings.Builder
	b := setup(t, func(b *bundle) {
		b.set.CallTimeout = 500 * time.Millisecond
		b.set.TaskRetention = time.Hour
		b.policy.CodesFinal = []string{"1001"}
		enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
		b.log = zap.New(zapcore.NewTee(b.log.Core(), zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(&written)), zapcore.DebugLevel)))
	})
	b.api.SetFaults(everyFault()...)
	ids := b.many(30)
	stop := b.start("w1")
	b.eventually("every fault has struck", func() bool {
		seen := map[sandbox.FaultKind]bool{}
		for _, r := range b.api.Requests() {
			seen[r.Fault] = true
		}
		return len(seen) >= len(everyFault())
	})
	b.api.SetFaults()
	b.eventually("all ended", func() bool {
		c, err := b.ledger.Counts(b.ctx, b.account)
		b.must(err)
		return c.Unfinished() == 0
	})
	stop()
	for _, id := range ids {
		text, err := json.Marshal(b.get(id))
		b.must(err)
		written.Write(text)
	}
	b.dump(&written)
	if !strings.Contains(written.String(), ids[0]) || !strings.Contains(written.String(), string(ledger.OutcomeUnclear)) {
		t.Fatal("the search is blind: not even ids are found")
	}
	forbidden := []string{secret}
	for i := range 30 {
		plain := string(voucher(i))
		forbidden = append(forbidden, plain, base64.StdEncoding.EncodeToString(voucher(i)))
	}
	for _, f := range forbidden {
		if at := strings.Index(written.String(), f); at >= 0 {
			t.Errorf("%q stands in: …%s…", f, written.String()[max(0, at-200):at])
		}
	}
}

func everyFault() []sandbox.Fault {
	var fs []sandbox.Fault
	for _, f := range []sandbox.Fault{
		{Kind: sandbox.Outage},
		{Kind: sandbox.Hang},
		{Kind: sandbox.Reset},
		{Kind: sandbox.CutOff},
		{Kind: sandbox.NotJSON},
		{Kind: sandbox.Throttle, RetryAfter: "0"},
		{Kind: sandbox.Unauthorized},
		{Kind: sandbox.Gone},
		{Kind: sandbox.Refuse, Code: 1001},
		{Kind: sandbox.Status, Status: 500},
	} {
		f.Times = 2
		fs = append(fs, f)
	}
	return fs
}

// dump writes every key of the account but those of the store.
func (b *bundle) dump(w *strings.Builder) {
	b.t.Helper()
	keys, err := b.rdb.Keys(b.ctx, "*"+b.account+"*").Result()
	b.must(err)
	for _, k := range keys {
		if strings.Contains(k, "}:v:") || strings.Contains(k, "}:b:") {
			continue
		}
		raw, err := b.rdb.Dump(b.ctx, k).Result()
		if errors.Is(err, redis.Nil) {
			continue // it expired meanwhile
		}
		b.must(err)
		fmt.Fprintln(w, k)
		w.WriteString(raw)
		if fields, err := b.rdb.HGetAll(b.ctx, k).Result(); err == nil {
			fmt.Fprintln(w, fields)
		}
	}
}
