// Package doctor looks at everything an installation stands on, and says what to do about what is
// not as it should be.
package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
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
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; absent when all is well
}

// Installation is what is looked at.
type Installation struct {
	Redis redis.UniversalClient
	Store blob.Store
	Tasks *tasks.Client

	Accounts []string // that the settings have
}

// Examine looks at all. It changes nothing but a test file of a file store.
func Examine(ctx context.Context, in Installation) []Finding {
	e := &examination{Installation: in}
	if !e.redis(ctx) {
		return e.findings
	}
	e.persistence(ctx)
	e.memory(ctx)
	e.clock(ctx)
	e.storeItself(ctx)
	e.accounts(ctx)
	return e.findings
}

type examination struct {
	Installation

	findings []Finding
	info     map[string]string
}

func (e *examination) add(g Grade, what, found, advice string) {
	if g == OK {
		advice = ""
	}
	e.findings = append(e.findings, Finding{Grade: g, What: what, Found: found, Advice: advice})
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

const storeAdvice = "a file store: mount it, fix its permissions or make room; in S3: see the sentence before; a redis store: see redis. " +
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

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
