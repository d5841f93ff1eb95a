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
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; absent when all is well
}

// Installation is what is looked at.
type Installation struct {
	Redis redis.UniversalClient
	Store blob.Store
	Tasks *tasks.Client

	Accounts    []string        // that the settings have
	SignRule    ledger.SignRule // of the settings
	ReplicasAck int             // replicas that must have an upload, by the settings
}

// Examine looks at all. It changes nothing but a test file of a file store.
func Examine(ctx context.Context, in Installation) []Finding {
	e := &examination{Installation: in}
	e.spool()
	if !e.redis(ctx) {
		return e.findings
	}
	e.storeItself(ctx)
	e.accounts(ctx)
	e.signRules(ctx)
	return e.findings
}

type examination struct {
	Installation

	findings []Finding
}

func (e *examination) add(g Grade, what, found, advice string) {
	if g == OK {
		advice = ""
	}
	e.findings = append(e.findings, Finding{Grade: g, What: what, Found: found, Advice: advice})
}

// words are an error's, and those for people if it is one of Redis.
func (e *examination) words(err error) string { return redisconn.Explain(e.Redis, err).Error() }

// spool looks at what waits for Redis.
func (e *examination) spool() {
	if !e.Tasks.Spools() {
		return
	}
	s, err := e.Tasks.Spooled()
	switch {
	case err != nil:
		e.add(Fail, "spool", err.Error(), "make the directory of VOUCHERD_SPOOL readable and writable")
	case s.Refused > 0:
		e.add(Fail, "spool", fmt.Sprintf("%d files in refused/ could not be enqueued", s.Refused),
			"look at them and at spool.refused in the log; enqueue what is good, and delete them")
	case s.Vouchers > 0:
		e.add(Warn, "spool", fmt.Sprintf("%d vouchers of %d bytes wait, the oldest for %s", s.Vouchers, s.Bytes, time.Since(s.Oldest.Time).Round(time.Second)),
			"they are enqueued when Redis is back, by a gateway or worker with this spool")
	default:
		e.add(OK, "spool", "empty", "")
	}
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

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
