package tasks_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// worker has a worker beat for the account.
func (b *bundle) worker(name string) {
	b.t.Helper()
	_, err := ledger.New(b.rdb, ledger.Settings{}).Beat(b.ctx, b.account, ledger.WorkerInfo{Instance: name, Name: name, DeadAfterMS: 60_000})
	b.must(err)
}

func TestWaitsFor(t *testing.T) {
	t.Parallel()
	at := func(s int) ledger.Time { return ledger.Time{Time: time.Date(2026, 11, 26, 17, 0, s, 0, time.UTC)} }
	clock := func(t ledger.Time) string { return t.Format(time.TimeOnly) }
	live := []ledger.WorkerInfo{{Name: "w1", LastBeat: at(1), Live: true}}
	for want, s := range map[string]tasks.AccountStatus{
		"":                                  {Breaker: tasks.BreakerClosed, Workers: live},
		"no worker of account a is running": {Breaker: tasks.BreakerClosed},
		"no worker of account a is running since 17:00:02; the queue of account a is paused in asynq": {
			Breaker: tasks.BreakerClosed, Paused: true, Workers: []ledger.WorkerInfo{{LastBeat: at(1)}, {LastBeat: at(2)}},
		},
		"PandaPon is down since 17:00:01, next probe 17:00:09": {
			Breaker: tasks.BreakerOpen, Reason: "outage", Since: at(1), NextProbeAt: at(9), Workers: live,
		},
		"PandaPon refuses everything alike since 17:00:01, a probe is under way": {
			Breaker: tasks.BreakerHalfOpen, Reason: "refusing", Since: at(1), NextProbeAt: at(9), Workers: live,
		},
		"the circuit breaker is open since 17:00:01 (100% new), next probe 17:00:09": {
			Breaker: tasks.BreakerOpen, Reason: "100% new", Since: at(1), NextProbeAt: at(9), Workers: live,
		},
		"account a is paused since 17:00:01 by li-na, until it is resumed (audit)": {
			Breaker: tasks.BreakerOpen, Reason: "paused", Since: at(1), Pause: &ledger.Pause{Reason: "audit", By: "li-na"}, Workers: live,
		},
		"account a is paused since 17:00:01, until 17:00:30 (audit)": {
			Breaker: tasks.BreakerOpen, Reason: "paused", Since: at(1), Pause: &ledger.Pause{Reason: "audit", Until: at(30)}, Workers: live,
		},
	} {
		s.Account = "a"
		if got := s.WaitsFor(clock); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestStatusOfAnUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	s, err := b.Status(b.ctx, u)
	b.must(err)
	if d := s.Delivery; d == nil || !slices.Equal(d.Obstacles, []tasks.Obstacle{tasks.ObstacleNoWorker}) || !strings.Contains(d.WaitsFor, "no worker") {
		t.Fatalf("delivery %+v, want no worker", d)
	}
	b.worker("w1")
	s, err = b.Status(b.ctx, u)
	b.must(err)
	text, err := json.Marshal(s)
	b.must(err)
	if !strings.Contains(string(text), `"delivery":{"breaker":"closed","liveWorkers":1,"obstacles":[]}`) || !strings.Contains(string(text), u.ID) {
		t.Fatalf("%s", text)
	}
	u, err = b.Discard(b.ctx, u.ID, ledger.Who{})
	b.must(err)
	if s, err = b.Status(b.ctx, u); err != nil || s.Delivery != nil {
		t.Fatalf("%+v, %v, want nothing of a finished upload's account", s.Delivery, err)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var invalid *tasks.InvalidError
	for _, p := range []tasks.PauseRequest{
		{},
		{Reason: "  "},
		{Reason: strings.Repeat("x", 201)},
		{Reason: "a\nb"},
		{Reason: "x", For: time.Millisecond},
		{Reason: "x", For: -time.Hour},
		{Reason: "x", For: 10_000 * time.Hour},
	} {
		if _, err := b.Pause(b.ctx, p); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	p := tasks.PauseRequest{Account: b.account, Reason: "发票核对", By: "li-na@host", For: time.Hour}
	if _, err := b.Pause(b.ctx, p); !errors.Is(err, tasks.ErrUnknownAccount) {
		t.Fatalf("pause an account that is not there: %v", err)
	}
	b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	s, err := b.Pause(b.ctx, p)
	b.must(err)
	if s.Breaker != tasks.BreakerOpen || s.Reason != "paused" || s.Pause == nil || s.Pause.Reason != p.Reason || s.Pause.By != p.By ||
		!s.Pause.Until.Equal(s.Pause.Since.Add(time.Hour)) || s.Backlog != 1 || !s.Unattended() {
		t.Fatalf("paused %+v", s)
	}
	if s, err = b.Resume(b.ctx, b.account); err != nil || s.Breaker != tasks.BreakerClosed || s.Pause != nil {
		t.Fatalf("resumed %+v, %v", s, err)
	}
	if _, err := b.Resume(b.ctx, "nobody-has-this"); !errors.Is(err, tasks.ErrUnknownAccount) {
		t.Fatalf("resume an account that is not there: %v", err)
	}
}

func TestCheckAccount(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	b := with(t, server.Client(), blob.NewRedis(server.Client()), ledger.InlineMost)
	b.enqueue(tasks.Request{OrderID: "1", Voucher: pdf("x")})
	b.must(b.CheckAccount(b.ctx, "typo", nil)) // nobody can know
	b.must(b.CheckAccount(b.ctx, "eu", []string{"eu"}))
	unknown, ok := errors.AsType[*tasks.UnknownAccountError](b.CheckAccount(b.ctx, b.account, []string{"eu"}))
	if !ok || !slices.Equal(unknown.Known, []string{"eu"}) {
		t.Fatalf("%+v", unknown)
	}
	b.worker("w1")
	b.must(b.CheckAccount(b.ctx, b.account, []string{"eu"}))
	unknown, ok = errors.AsType[*tasks.UnknownAccountError](b.CheckAccount(b.ctx, "typo", nil))
	if !ok || !slices.Equal(unknown.Known, []string{b.account}) || !strings.Contains(unknown.Error(), `no account "typo"; there are `+b.account) {
		t.Fatalf("%+v", unknown)
	}
}
