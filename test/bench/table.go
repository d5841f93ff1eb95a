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

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// markdown writes the table for docs, aligned so that it reads well in a terminal too.
func (t *table) markdown() string {
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
	var b strings.Builder
	for _, t := range []table{
		r.rateTable(), r.costTable(), r.memoryTable(), r.situationTable(scenarioWorkers), r.situationTable(scenarioLatency),
		r.situationTable(scenarioBacklog), r.targetTable(),
	} {
		if len(t.rows) > 0 {
			b.WriteString(t.markdown())
		}
	}
	return b.String()
}

func (r result) rateTable() table {
	t := table{
		title: "Uploads per second: median (range)",
		head:  []string{"voucher", "system", "rounds", "enqueued/s", "drained/s", "× naive", "× HTTP loop"},
	}
	all := groups(r.Samples, scenarioSizes)
	for _, g := range all {
		against := func(name string) string {
			for _, other := range all {
				if other.first.System == name && other.first.VoucherSize == g.first.VoucherSize && name != g.first.System {
					return ratio(g, other, drainRate).short()
				}
			}
			return ""
		}
		t.add(size(g.first.VoucherSize), g.first.System, strconv.Itoa(len(g.samples)),
			g.of(enqueueRate).ranged(), g.of(drainRate).ranged(), against(naiveQueue().name), against(plainLoop().name))
	}
	return t
}

func (r result) costTable() table {
	t := table{
		title: "What one upload costs (medians)",
		head: []string{
			"voucher", "system", "worker CPU s/1000", "Redis CPU s/1000", "round trips in", "out", "Redis commands in", "out",
			"to Redis KB out", "from Redis KB out", "Redis bytes waiting", "delivered", "worker peak MB",
		},
	}
	in := func(of func(phase) float64) func(sample) float64 {
		return func(s sample) float64 {
			if s.Enqueue == nil {
				return 0
			}
			return of(*s.Enqueue)
		}
	}
	trips := func(p phase) float64 { return p.Trips }
	commands := func(p phase) float64 { return p.Commands }
	for _, g := range groups(r.Samples, scenarioSizes) {
		out := func(of func(phase) float64) string { return g.of(inDrain(of)).short() }
		t.add(size(g.first.VoucherSize), g.first.System,
			out(func(p phase) float64 { return p.CPU }), out(func(p phase) float64 { return p.RedisCPU }),
			g.of(in(trips)).short(), out(trips), g.of(in(commands)).short(), out(commands),
			out(func(p phase) float64 { return p.RedisInBytes / 1024 }), out(func(p phase) float64 { return p.RedisOutBytes / 1024 }),
			g.of(func(s sample) float64 { return s.WaitingBytes }).short(), g.of(deliveredBytes).short(), g.of(peakMB).short())
	}
	return t
}

func (r result) memoryTable() table {
	t := table{
		title: fmt.Sprintf("Memory of the worker with %d uploads of %s in flight", inFlightMost, size(inFlightSize)),
		head:  []string{"system", "most in flight", "idle MB", "peak MB", "above idle MB"},
	}
	for _, g := range groups(r.Samples, scenarioMemory) {
		t.add(g.first.System, strconv.Itoa(g.first.InFlight),
			g.of(func(s sample) float64 { return float64(s.IdleMemory) / (1 << 20) }).short(),
			g.of(peakMB).short(), g.of(grownMB).short())
	}
	return t
}

func (r result) situationTable(scenario string) table {
	t := table{
		title: "Scaling: " + find(scenario).title + ", vouchers of " + size(smallVoucher),
		head:  []string{"system", "workers", "Redis ms", "waiting", "delivered", "rounds", "enqueued/s", "drained/s", "Redis CPU s/1000"},
	}
	for _, g := range groups(r.Samples, scenario) {
		f := g.first
		t.add(f.System, strconv.Itoa(f.Workers), fmt.Sprint(f.RedisMS), strconv.Itoa(f.Waiting), strconv.Itoa(f.Delivered),
			strconv.Itoa(len(g.samples)), g.of(enqueueRate).ranged(), g.of(drainRate).ranged(),
			g.of(inDrain(func(p phase) float64 { return p.RedisCPU })).short())
	}
	return t
}

func (r result) targetTable() table {
	t := table{title: "Targets", head: []string{"no", "what", "target", "measured", "met"}}
	for _, g := range r.Targets {
		t.add(strconv.Itoa(g.Line), g.What, g.Target, g.Measured, g.Met)
	}
	return t
}
