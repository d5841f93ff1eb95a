package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// table is what people read.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// column is one number, or one name, of each group of measurements.
type column struct {
	head string
	cell func(group) string
}

// text is a column of what all measurements of a group have alike.
func text(head string, of func(sample) any) column {
	return column{head, func(g group) string { return fmt.Sprint(of(g.first)) }}
}

func median(head string, number func(sample) float64) column {
	return column{head, func(g group) string { return g.of(number).short() }}
}

func ranged(head string, number func(sample) float64) column {
	return column{head, func(g group) string { return g.of(number).ranged() }}
}

// table makes a scenario's table.
func (r result) table(scenario, title string, columns ...column) table {
	t := table{title: title}
	for _, c := range columns {
		t.head = append(t.head, c.head)
	}
	for _, g := range groups(r.Samples, scenario) {
		var row []string
		for _, c := range columns {
			row = append(row, c.cell(g))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// markdown writes the table, aligned so that it reads well in a terminal too.
func (t table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n**%s**\n\n", t.title)
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	rule := slices.Repeat([]string{"---"}, len(t.head))
	for _, row := range slices.Concat([][]string{t.head, rule}, t.rows) {
		_, _ = fmt.Fprintf(w, "| %s\t|\n", strings.Join(row, "\t| ")) // a Builder takes everything
	}
	_ = w.Flush() // as above
	return b.String()
}

// tables writes a result's tables; those without rows are left out.
func (r result) tables() string {
	name := text("system", func(s sample) any { return s.System })
	voucher := text("voucher", func(s sample) any { return size(s.VoucherSize) })
	rounds := column{"rounds", func(g group) string { return strconv.Itoa(len(g.samples)) }}
	peak := median("peak MB", peakMB)
	against := func(head string, other system) column {
		return column{head, func(g group) string {
			if g.first.System == other.name {
				return ""
			}
			return ratio(g, pick(groups(r.Samples, scenarioSizes), other, g.first.VoucherSize), drainRate).short()
		}}
	}
	all := []table{
		r.table(scenarioSizes, "Uploads per second: median (range)", voucher, name, rounds, ranged("enqueued/s", enqueueRate),
			ranged("drained/s", drainRate), against("× naive", naiveQueue()), against("× HTTP loop", plainLoop())),
		r.table(scenarioSizes, "What one upload costs (medians)", voucher, name,
			median("worker CPU s/1000", func(s sample) float64 { return s.Drain.CPU }), median("Redis CPU s/1000", redisCPU),
			median("round trips in", func(s sample) float64 { return s.Enqueue.Trips }),
			median("out", func(s sample) float64 { return s.Drain.Trips }),
			median("Redis commands in", func(s sample) float64 { return s.Enqueue.Commands }),
			median("out", func(s sample) float64 { return s.Drain.Commands }),
			median("to Redis KB out", func(s sample) float64 { return s.Drain.RedisInBytes / 1024 }),
			median("from Redis KB out", func(s sample) float64 { return s.Drain.RedisOutBytes / 1024 }),
			median("Redis bytes waiting", func(s sample) float64 { return s.WaitingBytes }),
			median("delivered", deliveredBytes), median("worker peak MB", peakMB)),
		r.table(scenarioMemory, fmt.Sprintf("Memory of the worker with %d uploads of %s in flight", inFlightMost, size(inFlightSize)),
			name, text("most in flight", func(s sample) any { return s.InFlight }),
			median("idle MB", func(s sample) float64 { return float64(s.IdleMemory) / (1 << 20) }), peak, median("above idle MB", grownMB)),
	}
	for _, scenario := range []string{scenarioWorkers, scenarioLatency, scenarioBacklog} {
		all = append(all, r.table(scenario, "Scaling: "+find(scenario).title+", vouchers of "+size(smallVoucher),
			name, text("workers", func(s sample) any { return s.Workers }), text("Redis ms", func(s sample) any { return s.RedisMS }),
			text("waiting", func(s sample) any { return s.Waiting }), text("delivered", func(s sample) any { return s.Delivered }),
			rounds, ranged("enqueued/s", enqueueRate), ranged("drained/s", drainRate), median("Redis CPU s/1000", redisCPU)))
	}
	targets := table{title: "Targets", head: []string{"no", "what", "target", "measured", "met"}}
	for _, g := range r.Targets {
		targets.rows = append(targets.rows, []string{strconv.Itoa(g.Line), g.What, g.Target, g.Measured, g.Met})
	}
	var b strings.Builder
	for _, t := range append(all, targets) {
		if len(t.rows) > 0 {
			b.WriteString(t.markdown())
		}
	}
	return b.String()
}
