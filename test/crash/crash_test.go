package crash_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

// pointsFile lists the steps of each scenario: lines of its name, a tab and the step's.
const pointsFile = "points.txt"

// anyWorker stands instead of a scenario for what every worker does.
const anyWorker = "any worker"

// TestCrashPoints first lets every scenario run without a death: the steps that it comes to must be
// those of points.txt. Then it lets the victim die at these steps, before and after, once and three
// times in a row, and holds what came of it against the API's log.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	built.with(t, "crashpoints") // now: it takes a while
	dbs := newDatabases(t)
	points := readPoints(t)
	found := map[string][]string{}
	all := scenarios()
	if !t.Run("steps", func(t *testing.T) {
		for _, s := range all[:5] { // Redis does not know the scripts yet: a first call of each fails
			newRun(t, dbs, s).discover(nil)
		}
		steps := make([][]string, len(all))
		t.Run("of", func(t *testing.T) {
			for i, s := range all {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					steps[i] = newRun(t, dbs, s).discover(points[s.name])
				})
			}
		})
		for i, s := range all {
			found[s.name] = steps[i]
		}
		if *update {
			writePoints(t, found)
			return
		}
		compare(t, points, found)
	}) || *update {
		return
	}
	for _, s := range all {
		for i, step := range points[s.name] {
			for j, c := range []struct {
				when   string
				deaths int
			}{{"before", 1}, {"after", 1}, {"before", 3}, {"after", 3}} {
				if !*full && (i*4+j)%sampleEvery != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s %s, %d times", s.name, c.when, step, c.deaths), func(t *testing.T) {
					t.Parallel()
					newRun(t, dbs, s).deaths(point{step, c.when}, c.deaths)
				})
			}
		}
	}
}

// sampleEvery is one in how many deaths the short run has.
const sampleEvery = 47

// discover lets the scenario run to its end, and gives the steps that its victim came to. It waits
// for those that it knows of.
func (r *run) discover(known []string) []string {
	r.Helper()
	log := filepath.Join(r.dir, "steps")
	met := func() []string {
		text, _ := os.ReadFile(log)
		steps := strings.Split(strings.TrimSpace(string(text)), "\n")
		r.mu.Lock()
		defer r.mu.Unlock()
		for name := range r.met {
			steps = append(steps, name)
		}
		return steps
	}
	r.scenario.prepare(r)
	r.mu.Lock()
	clear(r.met)
	r.mu.Unlock()
	waits := patience
	if r.scenario.loose {
		waits = 2 * linger
	}
	if done := r.scenario.done; done != nil {
		var late time.Time
		r.scenario.done = func(r *run) bool {
			if !done(r) {
				return false
			}
			if late.IsZero() {
				late = time.Now().Add(waits)
			}
			if *update {
				return process.Sleep(r.Context(), 5*time.Second)
			}
			all := met()
			missing := slices.ContainsFunc(known, func(step string) bool {
				return !slices.Contains(all, step) && !point{name: step}.atStop()
			})
			return !missing || time.Now().After(late)
		}
	}
	if r.life(point{}, "CRASH_STEPS="+log) {
		r.Error("it died of itself")
	}
	steps := met()
	r.finish()
	return steps
}

// rare gives steps that have no deaths: what asynq does once a minute, too late for a life here, or what
// takes a machine that stands still for seconds.
func rare() []string {
	return []string{
		"redis: script on asynq:completed",                                   // removes tasks that are done
		"redis: script on asynq:active, asynq:lease, asynq:pending",          // what was fetched goes back
		"redis: script on asynq:active, asynq:lease, asynq:pending, asynq:t", // what was taken up goes back
		"redis: release.lua", // no time was left to send
	}
}

// compare says what is not as points.txt has it, and what to do.
func compare(t *testing.T, points, found map[string][]string) {
	t.Helper()
	// On a slow machine chance takes a victim to steps of other scenarios: those have their deaths there.
	known := append(slices.Concat(slices.Collect(maps.Values(points))...), rare()...)
	for _, s := range scenarios() {
		for _, step := range found[s.name] {
			if !slices.Contains(known, step) {
				t.Errorf("%s comes to the step %q, which points.txt does not have: run `go test ./test/crash -update`, look at what that changes, and run make crash",
					s.name, step)
			}
		}
		for _, step := range points[s.name] {
			if !s.loose && !slices.Contains(found[s.name], step) {
				t.Errorf("%s does not come to the step %q of points.txt: see why, or take it out by `go test ./test/crash -update`", s.name, step)
			}
		}
	}
}

func readPoints(t *testing.T) map[string][]string {
	t.Helper()
	if *update {
		return nil
	}
	text, err := os.ReadFile(pointsFile)
	if err != nil {
		t.Fatal(err)
	}
	points := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		name, step, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && !strings.HasPrefix(line, "#") {
			points[name] = append(points[name], step)
		}
	}
	return points
}

func writePoints(t *testing.T, found map[string][]string) {
	t.Helper()
	text := bytes.NewBufferString("# The steps of each scenario at which the program is killed: see crash_test.go. What any worker does\n# stands once, and again where it finds something to do.\n")
	for _, s := range scenarios() {
		for _, step := range found[s.name] {
			if s.own && slices.Contains(found[anyWorker], step) {
				continue
			}
			fmt.Fprintf(text, "%s\t%s\n", s.name, step)
		}
	}
	if err := os.WriteFile(pointsFile, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
