// Package doctor looks at everything an installation stands on, and says what to do about what is
// not as it should be.
package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// Grade says how bad a finding is.
type Grade string

// The grades of a finding.
const (
	OK   Grade = "ok"
	Warn Grade = "warn" // works, and may cost something one day
	Fail Grade = "fail" // does not work, or will lose uploads
)

// Finding is one thing that was looked at.
type Finding struct {
	Grade  Grade  `json:"grade"`
	What   string `json:"what"`
	Saw    string `json:"saw"`
	Advice string `json:"advice,omitempty"` // what to do; absent when all is well
}

// Patient is what is looked at.
type Patient struct {
	Redis redis.UniversalClient
	Store blob.Store
	Tasks *tasks.Client
}

// Examine looks at all. It changes nothing but a test file of a file store.
func Examine(ctx context.Context, p Patient) []Finding {
	e := &examination{Patient: p}
	if !e.redis(ctx) {
		return e.found
	}
	e.persistence(ctx)
	e.memory(ctx)
	e.clock(ctx)
	e.storeItself(ctx)
	e.accounts(ctx)
	return e.found
}

type examination struct {
	Patient

	found []Finding
	info  map[string]string
}

func (e *examination) add(g Grade, what, saw, advice string) {
	if g == OK {
		advice = ""
	}
	e.found = append(e.found, Finding{Grade: g, What: what, Saw: saw, Advice: advice})
}

// words are an error's, and those for people if it is one of Redis.
func (e *examination) words(err error) string { return redisconn.Explain(e.Redis, err).Error() }

// redis asks Redis for what it says of itself; false ends the examination.
func (e *examination) redis(ctx context.Context) bool {
	text, err := e.Redis.Info(ctx).Result()
	if err != nil {
		e.add(Fail, "redis", e.words(err), "start it, and check VOUCHERD_REDIS_URL")
		return false
	}
	e.info = map[string]string{}
	for row := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(row), ":"); ok {
			e.info[k] = v
		}
	}
	version := e.info["redis_version"]
	g := OK
	if olderThan(version, 6, 2) {
		g = Fail
	}
	e.add(g, "redis version", version, "use Redis 6.2 or later")
	if role := e.info["role"]; role != "" && role != "master" {
		e.add(Fail, "redis role", role, "VOUCHERD_REDIS_URL must name the primary: a replica takes no writes")
	}
	return true
}

// olderThan compares a version; one that cannot be read (a compatible server's) counts as new.
func olderThan(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a < major || a == major && b < minor)
}

func (e *examination) persistence(ctx context.Context) {
	switch aof := e.info["aof_enabled"]; {
	case aof == "0":
		e.add(Fail, "redis persistence", "AOF is off",
			"set `appendonly yes` and `appendfsync always`, or a restart of Redis loses uploads that were accepted")
		return
	case e.info["aof_last_write_status"] == "err":
		e.add(Fail, "redis persistence", "the last write to the AOF failed", "look at the disk of Redis: it may be full")
		return
	}
	fsync, err := e.setting(ctx, "appendfsync")
	switch {
	case err != nil:
		e.add(Warn, "redis persistence", "AOF is on; its fsync cannot be asked for", "make sure that it is `appendfsync always`")
	case fsync == "always":
		e.add(OK, "redis persistence", "AOF, fsync always", "")
	default:
		e.add(Warn, "redis persistence", "AOF, fsync "+fsync,
			"a power cut may cost the last second of accepted uploads; `appendfsync always` costs none")
	}
	if policy, err := e.setting(ctx, "maxmemory-policy"); err == nil && policy != "noeviction" {
		e.add(Fail, "redis eviction", policy, "set `maxmemory-policy noeviction`: Redis would throw away uploads when it is full")
	}
}

// setting asks Redis for one of its settings; managed services may refuse to tell.
func (e *examination) setting(ctx context.Context, name string) (string, error) {
	m, err := e.Redis.ConfigGet(ctx, name).Result()
	if err != nil {
		return "", err
	}
	return m[name], nil
}

// Like tasks.Client, which refuses vouchers above this share of maxmemory.
const fullShare = 80

func (e *examination) memory(_ context.Context) {
	used, most := number(e.info["used_memory"]), number(e.info["maxmemory"])
	switch {
	case most == 0:
		e.add(Warn, "redis memory", size(used)+" used, no maxmemory",
			"set `maxmemory` below what the machine has: then producers are refused in time, instead of Redis being killed")
	case used*100 > most*fullShare:
		e.add(Fail, "redis memory", fmt.Sprintf("%s of %s used (%d %%)", size(used), size(most), used*100/most),
			"producers are refused above 80 %: let the backlog drain, raise maxmemory, or use a file store")
	default:
		e.add(OK, "redis memory", fmt.Sprintf("%s of %s used (%d %%)", size(used), size(most), used*100/most), "")
	}
}

// asynq takes times from the worker's host, so a clock far off delays retries; PandaPon refuses 600
// s.
const clockOff = 30 * time.Second

func (e *examination) clock(ctx context.Context) {
	before := time.Now()
	there, err := e.Redis.Time(ctx).Result()
	if err != nil {
		e.add(Fail, "clock", e.words(err), "see redis")
		return
	}
	off := there.Sub(before.Add(time.Since(before) / 2)).Round(time.Millisecond)
	g := OK
	if off.Abs() > clockOff {
		g = Warn
	}
	e.add(g, "clock", fmt.Sprintf("redis is %v ahead of this host", off), "set both clocks by NTP")
}

const storeAdvice = "a file store: mount it, mend its permissions or make room; a redis store: see redis. " +
	"Until then its accounts hold, and nothing is rejected"

func (e *examination) storeItself(ctx context.Context) {
	if err := e.Store.Check(ctx); err != nil {
		e.add(Fail, "store", e.words(err), storeAdvice)
		return
	}
	id, err := e.Store.Identity(ctx)
	if err != nil {
		e.add(Fail, "store", e.words(err), "see above")
		return
	}
	e.add(OK, "store", id, "")
}

// accounts looks at each account and at who works on it.
func (e *examination) accounts(ctx context.Context) {
	accounts, err := e.Tasks.Accounts(ctx)
	if err != nil {
		e.add(Fail, "accounts", err.Error(), "see redis")
		return
	}
	workers := e.workers()
	for _, l := range accounts {
		what := "account " + l.Account
		if workers != nil && workers[ledger.Queue(l.Account)] == 0 {
			g := OK
			if l.Backlog > 0 {
				g = Fail
			}
			e.add(g, what+" workers", fmt.Sprintf("none is running, %d uploads wait", l.Backlog), "start `voucherd worker`")
		}
		if l.Paused {
			e.add(Warn, what, "paused in asynq", "resume it in asynqmon when it shall go on")
		}
		if l.ClockSkewMS != 0 {
			skew := time.Duration(l.ClockSkewMS) * time.Millisecond
			e.add(Warn, what+" clock", fmt.Sprintf("PandaPon's clock is %v ahead of the workers'", skew),
				"set the workers' clocks by NTP; until then calls are signed with PandaPon's time")
		}
		e.breaker(what, l)
		e.sizes(ctx, what, l.Account)
	}
}

// sizes compares the indexes of an account: a worker puts right what differs, once it is looked at.
func (e *examination) sizes(ctx context.Context, what, account string) {
	s, err := e.Tasks.Sizes(ctx, account)
	if err != nil {
		e.add(Fail, what+" indexes", err.Error(), "see redis")
		return
	}
	saw := fmt.Sprintf("%d unfinished uploads, %d that must have a task, %d tasks", s.Unfinished, s.Needed, s.Tasks)
	switch {
	case s.Needed > s.Unfinished, s.Needed == 0 && s.Unfinished > 0:
		e.add(Warn, what+" indexes", saw+": keys were lost",
			"run `voucherd rebuild`; a running worker finds what is missing too, in time")
	case s.Tasks < s.Needed:
		e.add(Warn, what+" indexes", saw+": tasks are missing",
			"a running worker puts them within a minute; if that does not help, run `voucherd rebuild`")
	default:
		e.add(OK, what+" indexes", saw, "")
	}
}

// workers counts the asynq servers of each queue; nil when that cannot be asked.
func (e *examination) workers() map[string]int {
	servers, err := asynq.NewInspectorFromRedisClient(e.Redis).Servers()
	if err != nil {
		return nil
	}
	n := map[string]int{}
	for _, s := range servers {
		for q := range s.Queues {
			n[q]++
		}
	}
	return n
}

func (e *examination) breaker(what string, l tasks.AccountStatus) {
	said := "no answer of PandaPon yet"
	if a := l.LastAnswer; a != nil {
		said = fmt.Sprintf("last answer %s: %s", a.At.Local().Format(time.DateTime), a.Outcome)
		if a.HTTPStatus != 0 {
			said += fmt.Sprintf(", HTTP %d", a.HTTPStatus)
		}
		if a.Code != "" {
			said += ", code " + a.Code
		}
		if a.Msg != "" {
			said += ", " + strconv.Quote(a.Msg)
		}
	}
	if l.Breaker == tasks.BreakerClosed {
		e.add(OK, what, fmt.Sprintf("breaker closed, backlog %d; %s", l.Backlog, said), "")
		return
	}
	e.add(Fail, what, fmt.Sprintf("breaker %s since %s: %s, backlog %d; %s",
		l.Breaker, l.Since.Local().Format(time.DateTime), l.Reason, l.Backlog, said), Advice(l.Reason))
}

// Advice says what a person can do about an account whose breaker is open for this reason.
func Advice(reason string) string {
	switch reason {
	case "outage":
		return "PandaPon does not answer: nothing to do but wait; uploads go on by themselves when it is back"
	case "throttled":
		return "PandaPon asks for fewer calls: it goes on by itself; lower VOUCHERD_CONCURRENCY if it comes back often"
	case "credentials":
		return "check PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET, PANDAPON_USER_ID and the clock, and restart the worker; " +
			"if all are right, the sign rule may be another: `voucherd sign --learn FILE` finds it by a request that works, " +
			"and a gateway by calls that it refuses (its start page and log)"
	case "endpoint":
		return "the endpoint is gone or moved: ask PandaPon, and set PANDAPON_BASE_URL or PANDAPON_UPLOAD_PATH"
	case "refusing":
		return "every upload gets the same refusal: ask PandaPon what its code means, giving a requestId"
	case "store":
		return "the blob store cannot be read: mount it or mend its permissions"
	default:
		return "see `voucherd accounts`"
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
