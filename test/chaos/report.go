package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// report is what a run found.
type report struct {
	opts   options
	rows   []string
	checks []audit.Check
	err    error // why the run did not come to its end
	took   time.Duration
}

// row adds a number or a few. Rows that belong to the one before have no name.
func (r *report) row(name, format string, args ...any) {
	r.rows = append(r.rows, fmt.Sprintf("  %-22s %s\n", name, fmt.Sprintf(format, args...)))
}

// check adds what was looked at besides the audit.
func (r *report) check(name string, looked int, breaches ...string) {
	r.checks = append(r.checks, audit.Check{Name: name, Examined: looked, Broken: len(breaches), Where: breaches[:min(len(breaches), 20)]})
}

// atMost checks a number against its limit.
func (r *report) atMost(most float64, what string, n float64) {
	var over []string
	if n > most {
		over = append(over, fmt.Sprintf("%.1f", n))
	}
	r.check(fmt.Sprintf("at most %.0f %s", most, what), int(n), over...)
}

// audited adds what an audit found, its checks first.
func (r *report) audited(found audit.Result) {
	const shown = 10
	r.checks = append(found.Checks, r.checks...)
	r.row("taken twice by the API", "%d", len(found.Resent))
	for _, s := range found.Resent[:min(len(found.Resent), shown)] {
		r.row("", "%s: %s", s.UploadID, strings.Join(s.Attempts, "; "))
	}
	r.row("attempts per upload", "%s", counted(found.Attempts))
	r.row("attempts by outcome", "%s", counted(found.Outcomes))
	if n := len(found.Resumed); n > 0 {
		r.row("", "interrupted attempts were followed by the next after %v to %v, half of them within %v",
			short(found.Resumed[0]), short(found.Resumed[n-1]), short(found.Resumed[n/2]))
	}
	if found.Late > 0 {
		r.row("", "%d calls had left when their account was told to wait, and arrived over 100 ms later", found.Late)
	}
	if lost := found.Forgotten; lost != (audit.Forgotten{}) {
		r.row("lost with Redis", "%d uploads, of which the API had taken %d; %d calls", lost.Uploads, lost.Taken, lost.Calls)
	}
}

// good says whether all that must hold did.
func (r *report) good() bool {
	return r.err == nil && len(r.checks) > 0 && !slices.ContainsFunc(r.checks, func(c audit.Check) bool { return c.Broken > 0 })
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, seed %d: %d vouchers, blob store %s, %.0f s\n\n%s\n",
		r.opts.Scenario, r.opts.Seed, r.opts.N, r.opts.Store, r.took.Seconds(), strings.Join(r.rows, ""))
	for _, c := range r.checks {
		if c.Broken == 0 {
			fmt.Fprintf(w, "  ok      %s (%d looked at)\n", c.Name, c.Examined)
			continue
		}
		fmt.Fprintf(w, "  BROKEN  %s: %d of %d\n", c.Name, c.Broken, c.Examined)
		for _, where := range c.Where {
			fmt.Fprintf(w, "            %s\n", where)
		}
	}
	if r.err != nil {
		fmt.Fprintf(w, "  FAILED  %v\n", r.err)
	}
}

// short writes a duration for people.
func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// counted writes numbers by their keys.
func counted[K interface{ ~int | ~string }, V int | int64](counts map[K]V) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if counts[k] > 0 {
			parts = append(parts, fmt.Sprintf("%v: %d", k, counts[k]))
		}
	}
	return strings.Join(parts, ", ")
}
