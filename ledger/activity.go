package ledger

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Activity is what happened in an account lately, by steps of time.
type Activity struct {
	Now   Time          // by Redis, which keeps all times
	Step  time.Duration // how long a step is
	Steps []Step        // oldest first; the last one is under way
}

// Step is what happened within one step of time.
type Step struct {
	At       Time              // when it began
	Attempts map[Outcome]int64 // that ended in it
	Calls    Durations         // how long those took that reached the API
	Watched  bool              // a worker looked at the account, and so the next two are known
	Backlog  int64             // the most unfinished uploads that it saw
	Breaker  string            // why the breaker was open at some time (one of the reasons); "": it was closed
}

// Durations are counts of calls by how long they took: element i of those from 2^(i/2) ms on.
type Durations [40]int64

// Add adds other counts.
func (d *Durations) Add(o Durations) {
	for i, n := range o {
		d[i] += n
	}
}

// Percentile gives the time within which a share (0 to 1) of the calls ended, to a fifth; 0 when
// there was none.
func (d *Durations) Percentile(share float64) time.Duration {
	var all int64
	for _, n := range d {
		all += n
	}
	left := share * float64(all)
	for i, n := range d {
		if n > 0 && left <= float64(n) {
			ms := math.Exp2((float64(i) + left/float64(n)) / 2)
			return time.Duration(ms * float64(time.Millisecond)).Round(time.Millisecond)
		}
		left -= float64(n)
	}
	return 0
}

// counts are the hashes in which the scripts count: see COUNTS in lib.lua.
type counts struct {
	name  string
	step  time.Duration
	steps int64 // in one hash
}

// Activity reads the last n steps of an account: minutes of the last two hours, or multiples of 15
// minutes within a week. It costs one command for each 10 minutes, or 4 hours.
func (l *Ledger) Activity(ctx context.Context, account string, step time.Duration, n int) (Activity, error) {
	now, err := l.Now(ctx, account)
	if err != nil {
		return Activity{}, err
	}
	from := counts{name: "m", step: time.Minute, steps: 10}
	if step%(15*time.Minute) == 0 {
		from = counts{name: "q", step: 15 * time.Minute, steps: 16}
	}
	a := Activity{Now: now, Step: step, Steps: make([]Step, n)}
	last := now.Truncate(step)
	for i := range a.Steps {
		a.Steps[i] = Step{At: Time{last.Add(-step * time.Duration(n-1-i)).UTC()}, Attempts: map[Outcome]int64{}}
	}
	if n == 0 {
		return a, nil
	}
	if err := l.readCounts(ctx, account, from, &a); err != nil {
		return Activity{}, fmt.Errorf("read what happened in account %s: %w", account, err)
	}
	return a, nil
}

// readCounts fills the steps from the hashes that hold them.
func (l *Ledger) readCounts(ctx context.Context, account string, from counts, a *Activity) error {
	start := a.Steps[0].At.UnixMilli() / from.step.Milliseconds()
	first, last := start/from.steps, a.Now.UnixMilli()/from.step.Milliseconds()/from.steps
	pipe := l.rdb.Pipeline()
	var hashes []*redis.MapStringStringCmd
	for i := first; i <= last; i++ {
		hashes = append(hashes, pipe.HGetAll(ctx, prefix(account)+"c:"+from.name+":"+strconv.FormatInt(i, 10)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	per := int64(a.Step / from.step)
	for i, h := range hashes {
		for field, value := range h.Val() {
			place, what, _ := strings.Cut(field, " ")
			if at := (first+int64(i))*from.steps + integer(place) - start; at >= 0 && at/per < int64(len(a.Steps)) {
				a.Steps[at/per].read(what, value)
			}
		}
	}
	return nil
}

// read takes one field of a step.
func (s *Step) read(what, value string) {
	switch what {
	case "backlog":
		s.Backlog = max(s.Backlog, integer(value))
	case "breaker":
		s.Watched, s.Breaker = true, max(s.Breaker, value)
	default:
		outcome, bucket, _ := strings.Cut(what, " ")
		n := max(0, integer(value))
		s.Attempts[Outcome(outcome)] += n
		if bucket != "-" {
			s.Calls[min(max(0, integer(bucket)), int64(len(s.Calls)-1))] += n
		}
	}
}
