package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/test/chaos/audit"
)

// length is a time.Duration that stands in JSON as people write it.
type length time.Duration

// MarshalText writes "1.234s".
func (l length) MarshalText() ([]byte, error) { return []byte(l.String()), nil } //nolint:unparam // encoding/json wants it so

func (l length) String() string { return time.Duration(l).Round(time.Millisecond).String() }

// report is what a run found.
type report struct {
	Scenario string            `json:"scenario"`
	Seed     uint64            `json:"seed"`
	Vouchers int               `json:"vouchers"`
	Store    string            `json:"store"`
	Settings map[string]string `json:"settings"`
	Plan     []string          `json:"plan,omitempty"`

	Producers tally                  `json:"producers"`
	States    map[ledger.State]int64 `json:"states,omitempty"`
	Requests  int                    `json:"requests"`
	Accepted  int                    `json:"acceptedByAPI"`
	Rejected  int                    `json:"rejectedBeforeRetry"`
	Flushed   int                    `json:"queueKeysFlushed"`
	Outage    *outage                `json:"outage,omitempty"`
	Drain     length                 `json:"drainAfterwards"`
	Attempts  map[int]int            `json:"uploadsByAttempts,omitempty"`
	Outcomes  map[ledger.Outcome]int `json:"attemptsByOutcome,omitempty"`
	Resent    []audit.Resent         `json:"acceptedTwice,omitempty"`
	Workers   []worker               `json:"workers"`
	Numbers   []string               `json:"numbers,omitempty"` // what else a scenario measured
	Left      []string               `json:"left,omitempty"`    // what lies about in the end, and may

	Checks []audit.Check `json:"checks"`
	Error  string        `json:"error,omitempty"` // why the run did not come to its end
	Took   length        `json:"took"`
}

// outage is what was measured while the API was away.
type outage struct {
	Lasted   length  `json:"lasted"`
	Calls    int     `json:"calls"`
	Most     int     `json:"most"`           // that is allowed
	Commands float64 `json:"redisPerSecond"` // commands of each worker
	Scripted float64 `json:"redisScripted"`  // further ones, which scripts made of them
	Measured length  `json:"redisMeasured"`  // for so long; 0: not
}

// measure takes over what a monitor has counted.
func (o *outage) measure(m *monitor, took time.Duration, workers int) {
	o.Measured = length(took)
	seconds := took.Seconds() * float64(workers)
	o.Commands, o.Scripted = float64(m.asked.Load())/seconds, float64(m.scripted.Load())/seconds
}

func newReport(o options) *report {
	return &report{Scenario: o.scenario, Seed: o.seed, Vouchers: o.vouchers, Store: o.store}
}

// check adds what was looked at besides the audit.
func (r *report) check(name string, looked int, breaches ...string) {
	r.Checks = append(r.Checks, audit.Check{Name: name, Examined: looked, Broken: len(breaches), Where: breaches[:min(len(breaches), 20)]})
}

// number notes what else a scenario measured.
func (r *report) number(format string, args ...any) {
	r.Numbers = append(r.Numbers, fmt.Sprintf(format, args...))
}

// good says whether all that must hold did.
func (r *report) good() bool {
	return r.Error == "" && len(r.Checks) > 0 && !slices.ContainsFunc(r.Checks, func(c audit.Check) bool { return c.Broken > 0 })
}

// save writes the report as JSON.
func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil { //nolint:gosec // the user names the file
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, seed %d: %d vouchers, blob store %s, %.0f s\n\n", r.Scenario, r.Seed, r.Vouchers, r.Store, time.Duration(r.Took).Seconds())
	p := r.Producers
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("accepted by Enqueue", "%d (in %d calls; %d failed, %d of them while Redis was away; slowest error after %v)",
		p.Accepted, p.Calls, p.Failed, p.WhileAway, p.Slowest)
	if p.Again > 0 {
		row("enqueued again", "%d", p.Again)
	}
	row("states in the end", "%s", counted(r.States))
	row("requests at the API", "%d, of which it took %d", r.Requests, r.Accepted)
	if r.Rejected > 0 {
		row("rejected, retried", "%d", r.Rejected)
	}
	if o := r.Outage; o != nil {
		row("outage", "%.1f s: %d calls (most allowed: %d)", time.Duration(o.Lasted).Seconds(), o.Calls, o.Most)
		if o.Measured > 0 {
			row("", "%.1f Redis commands a second and worker, for %.1f s (and %.1f within scripts)",
				o.Commands, time.Duration(o.Measured).Seconds(), o.Scripted)
		}
	}
	row("time to drain", "%.1f s", time.Duration(r.Drain).Seconds())
	row("attempts per upload", "%s", counted(r.Attempts))
	row("attempts by outcome", "%s", counted(r.Outcomes))
	for _, m := range r.Workers {
		row("worker "+m.Name, "%d lives, %d kills, %d stops (slowest %v), at most %.1f MiB", m.Lives, m.Kills, m.Stops,
			m.Slow, float64(m.PeakKB)/1024)
	}
	for _, n := range r.Numbers {
		row("", "%s", n)
	}
	for _, l := range r.Left {
		row("left over", "%s", l)
	}
	row("taken twice by the API", "%d", len(r.Resent))
	r.printResent(w)
	fmt.Fprintln(w)
	for _, c := range r.Checks {
		r.printCheck(w, c)
	}
	if r.Error != "" {
		fmt.Fprintf(w, "  FAILED  %s\n", r.Error)
	}
}

// resentShown is how many uploads that arrived twice are printed; the file has all.
const resentShown = 10

func (r *report) printResent(w io.Writer) {
	for i, s := range r.Resent {
		if i == resentShown {
			fmt.Fprintf(w, "    … and %d more (--report FILE has all)\n", len(r.Resent)-i)
			return
		}
		fmt.Fprintf(w, "    %s: %s\n", s.UploadID, strings.Join(s.Attempts, "; "))
	}
}

func (r *report) printCheck(w io.Writer, c audit.Check) {
	if c.Broken == 0 {
		fmt.Fprintf(w, "  ok      %s (%d looked at)\n", c.Name, c.Examined)
		return
	}
	fmt.Fprintf(w, "  BROKEN  %s: %d of %d\n", c.Name, c.Broken, c.Examined)
	for _, where := range c.Where {
		fmt.Fprintf(w, "            %s\n", where)
	}
}

// counted writes numbers by their keys.
func counted[K interface{ ~int | ~string }, V int | int64](counts map[K]V) string {
	keys := make([]K, 0, len(counts))
	for k, n := range counts {
		if n > 0 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("%v: %d", k, counts[k])
	}
	return strings.Join(parts, ", ")
}
