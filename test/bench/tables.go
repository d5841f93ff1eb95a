package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// ranged writes the median and, if it says more, the range.
func (s spread) ranged() string {
	switch {
	case s.count == 0:
		return "–"
	case digits(s.least) == digits(s.most):
		return digits(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.median), digits(s.least), digits(s.most))
}

// digits writes a number with about three digits that count.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		text := fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// markdown writes a table, aligned so that it reads well in a terminal too.
func markdown(title string, head []string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n**%s**\n\n", title)
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	rule := slices.Repeat([]string{"---"}, len(head))
	for _, row := range slices.Concat([][]string{head, rule}, rows) {
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(row, "\t| "))
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}

// table makes a scenario's table: a column for each key of the names, and one for each unit.
func (r results) table(scenario, title string, units ...string) string {
	var head []string
	var rows [][]string
	for _, name := range r.names(scenario) {
		head = nil
		var row []string
		for _, p := range strings.Split(name, "/")[1:] {
			key, is, _ := strings.Cut(p, "=")
			head, row = append(head, key), append(row, is)
		}
		for _, u := range units {
			row = append(row, r.of(name, u).ranged())
		}
		rows = append(rows, row)
	}
	return markdown(title, append(head, units...), rows)
}

// tables writes what people read; scenarios that were not run are left out.
func (r results) tables() string {
	var b strings.Builder
	for _, t := range []struct{ scenario, title, units string }{
		{"start", "From the gateway's 202 to the call's arrival at the API", "p50-ms p95-ms p99-ms"},
		{"idle", "What an idle worker asks of Redis", "commands/s busiest-second"},
		{"kill", "Kill -9 of a worker in mid-call, started again at once", "in-mid-call lost doubled p50-s p99-s"},
		{"outage", "An outage with much waiting", "finding-out commands/s worst-10-s busiest-second first-call-after-s"},
		{"sizes", "Uploads per second: median (range)", "enqueued/s drained/s enqueued×naive drained×naive drained×http-loop"},
		{"sizes", "What one upload costs", "worker-cpu-s/1000 redis-cpu-s/1000-out reads-in reads-out commands-in commands-out"},
		{"sizes", "What one upload takes", "KB-to-redis-out KB-from-redis-out B-waiting B-delivered peak-MB"},
		{"memory", "Memory with 64 uploads of 5 MB in flight", "in-flight peak-MB above-idle-MB"},
		{"workers", "Several worker processes, API of 50 ms", "enqueued/s drained/s drained×one redis-cpu-s/1000-out"},
		{"latency", "Redis far away", "enqueued/s drained/s drained×naive reads-out"},
		{"backlog", "Rate with much waiting and much delivered", "delivered enqueued/s drained/s drained×1000 redis-cpu-s/1000-out"},
		{"webhooks", "A webhook receiver that is down", "drained/s drained×none commands-out worker-cpu-s/1000"},
	} {
		b.WriteString(r.table(t.scenario, t.title, strings.Fields(t.units)...))
	}
	return b.String() + r.targetTable()
}

// target is one line of what voucherd is to reach. It holds for every measurement whose name has
// these parts.
type target struct {
	what, parts, unit string
	sign              string // "≥", "≤", or "" for a figure to set beside those of others
	bound             float64
}

func targets() []target {
	return []target{
		{"202 to the call's arrival, p50", "start", "p50-ms", "≤", 1},
		{"202 to the call's arrival, p99", "start", "p99-ms", "≤", 5},
		{"Redis commands a second of an idle worker", "idle/processes=worker", "commands/s", "≤", 10},
		{"kill -9 to the next call", "kill/system=redis-1h", "p99-s", "≤", 15},
		{"Redis commands a second in an outage, the breaker open", "outage", "worst-10-s", "≤", 60},
		{"draining 2 KB", "sizes/voucher=2KB/system=redis", "drained×naive", "≥", 1},
		{"draining 20 KB", "sizes/voucher=20KB/system=redis", "drained×naive", "≥", 1.6},
		{"draining 200 KB", "sizes/voucher=200KB/system=redis", "drained×naive", "≥", 4},
		{"draining 200 KB, file store", "sizes/voucher=200KB/system=file", "drained×http-loop", "≥", 0.6},
		{"enqueueing 2 KB", "sizes/voucher=2KB/system=redis", "enqueued×naive", "≥", 0.85},
		{"enqueueing 20 KB, file store, 16 producers", "sizes/voucher=20KB/system=file", "enqueued/s", "≥", 3000},
		{"Redis commands of an enqueue", "sizes/voucher=2KB/system=redis", "commands-in", "≤", 9},
		{"Redis commands of a delivery", "sizes/voucher=2KB/system=redis", "commands-out", "≤", 28},
		{"no-op: 2 KB, instant API", "sizes/voucher=2KB/system=redis", "drained/s", "", 0},
		{"Redis bytes per waiting upload besides the voucher, worst size", "sizes/system=redis", "B-waiting", "≤", 1536},
		{"Redis bytes per waiting upload, file store, worst size", "sizes/system=file", "B-waiting", "≤", 1536},
		{"Redis bytes per delivered upload, worst size", "sizes/system=redis", "B-delivered", "≤", 1024},
		{"Redis bytes per delivered upload, file store, worst size", "sizes/system=file", "B-delivered", "≤", 1024},
		{"worker's peak above idle with 64 of 5 MB in flight", "memory/system=redis", "above-idle-MB", "≤", 64},
		{"the same, file store", "memory/system=file", "above-idle-MB", "≤", 64},
		{"four worker processes against one", "workers/workers=4", "drained×one", "≥", 3.6},
		{"rate with most waiting, against that with 1,000", "backlog", "drained×1000", "≥", 0.9},
		{"rate with a webhook receiver that is down, against none", "webhooks", "drained×none", "≥", 0.95},
	}
}

// check holds the worst median against the bound.
func (r results) check(t target) (worst spread, met string) {
	want := strings.Split(t.parts, "/")
	for _, name := range r.names(want[0]) {
		parts := strings.Split(name, "/")
		if slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(parts, w) }) {
			continue
		}
		here := r.of(name, t.unit)
		if here.count > 0 && (worst.count == 0 || (here.median < worst.median) == (t.sign == "≥")) {
			worst = here
		}
	}
	switch {
	case worst.count == 0:
		return worst, "not measured"
	case t.sign == "":
		return worst, ""
	case t.sign == "≥" && worst.median >= t.bound, t.sign == "≤" && worst.median <= t.bound:
		return worst, "met"
	}
	return worst, "not met"
}

func (r results) targetTable() string {
	var rows [][]string
	for _, t := range targets() {
		worst, met := r.check(t)
		bound := ""
		if t.sign != "" {
			bound = t.sign + " " + digits(t.bound)
		}
		rows = append(rows, []string{t.what, t.unit, bound, worst.ranged(), met})
	}
	return markdown("Targets", []string{"what", "unit", "target", "measured", "met"}, rows)
}
