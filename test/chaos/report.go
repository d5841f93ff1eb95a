package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// report is what a run found.
type report struct {
	title  string
	rows   []string
	checks []audit.Check
	err    error // why the run did not come to its end
	took   time.Duration
}

func newReport(o options) *report {
	return &report{title: fmt.Sprintf("%s, seed %d: %d vouchers, blob store %s", o.scenario, o.seed, o.vouchers, o.store)}
}

// row adds a number or a few. Rows that belong to the one before have no name.
func (r *report) row(name, format string, args ...any) {
	r.rows = append(r.rows, fmt.Sprintf("  %-22s %s\n", name, fmt.Sprintf(format, args...)))
}

// check adds what was looked at besides the audit.
func (r *report) check(name string, looked int, breaches ...string) {
	r.checks = append(r.checks, audit.Check{Name: name, Examined: looked, Broken: len(breaches), Where: breaches[:min(len(breaches), 20)]})
}

// audited adds what an audit found, its checks first.
func (r *report) audited(found audit.Result) {
	const shown = 10
	r.checks = append(found.Checks, r.checks...)
	r.row("taken twice by the API", "%d", len(found.Resent))
	for _, s := range found.Resent[:min(len(found.Resent), shown)] {
		r.row("", "%s: %s", s.UploadID, strings.Join(s.Attempts, "; "))
	}
}

// good says whether all that must hold did.
func (r *report) good() bool {
	return r.err == nil && len(r.checks) > 0 && !slices.ContainsFunc(r.checks, func(c audit.Check) bool { return c.Broken > 0 })
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %.0f s\n\n%s\n", r.title, r.took.Seconds(), strings.Join(r.rows, ""))
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
	keys := make([]K, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if counts[k] > 0 {
			parts = append(parts, fmt.Sprintf("%v: %d", k, counts[k]))
		}
	}
	return strings.Join(parts, ", ")
}
