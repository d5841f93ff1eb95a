package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// sample is one measurement.
type sample struct {
	name    string // scenario/key=value/…
	round   int
	uploads int
	values  []value
}

// value is one number; its unit says which.
type value struct {
	unit   string
	number float64
}

func (s *sample) add(unit string, number float64) { s.values = append(s.values, value{unit, number}) }

// get gives the number of a unit, if it was measured.
func (s *sample) get(unit string) (float64, bool) {
	i := slices.IndexFunc(s.values, func(v value) bool { return v.unit == unit })
	if i < 0 {
		return 0, false
	}
	return s.values[i].number, true
}

// addQuantiles adds some of many numbers.
func (s *sample) addQuantiles(all []float64, unit string) {
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	for _, percent := range []int{50, 95, 99} {
		s.add(fmt.Sprintf("p%d-%s", percent, unit), all[(len(all)*percent+99)/100-1])
	}
}

// line is a line of Go's benchmark format, with or without the calls of every Redis command.
func (s *sample) line(calls bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Benchmark%s%s\t%d", strings.ToUpper(s.name[:1]), s.name[1:], s.uploads)
	for _, v := range s.values {
		if calls || !strings.Contains(v.unit, callsInfix) {
			fmt.Fprintf(&b, "\t%.5g %s", v.number, v.unit)
		}
	}
	return b.String()
}

// results are all measurements of a run.
type results []*sample

// compareAll adds what compares systems with each other.
func (r results) compareAll() {
	for _, c := range []struct{ scenario, unit, key, base, as string }{
		{"sizes", "drained/s", "system", "naive", "drained×naive"},
		{"sizes", "drained/s", "system", "http-loop", "drained×http-loop"},
		{"sizes", "enqueued/s", "system", "naive", "enqueued×naive"},
		{"latency", "drained/s", "system", "naive", "drained×naive"},
		{"workers", "drained/s", "workers", "1", "drained×one"},
		{"backlog", "drained/s", "waiting", "1000", "drained×1000"},
		{"webhooks", "drained/s", "receiver", "none", "drained×none"},
	} {
		r.compare(c.scenario, c.unit, c.key, c.base, c.as)
	}
}

// compare divides a number by that of the same round with another value of one key: what else the
// machine does meets both alike.
func (r results) compare(scenario, unit, key, base, as string) {
	for _, s := range r {
		parts := strings.Split(s.name, "/")
		if parts[0] != scenario {
			continue
		}
		for i, p := range parts {
			if strings.HasPrefix(p, key+"=") {
				parts[i] = key + "=" + base
			}
		}
		name := strings.Join(parts, "/")
		i := slices.IndexFunc(r, func(o *sample) bool { return o.name == name && o.round == s.round })
		if i < 0 || r[i] == s {
			continue
		}
		mine, ok := s.get(unit)
		if other, there := r[i].get(unit); ok && there && other != 0 {
			s.add(as, mine/other)
		}
	}
}

// names gives the names of a scenario's measurements, in the order in which they were first made.
func (r results) names(scenario string) (all []string) {
	for _, s := range r {
		if strings.HasPrefix(s.name, scenario+"/") && !slices.Contains(all, s.name) {
			all = append(all, s.name)
		}
	}
	return all
}

// spread is the median of some measurements, and their range.
type spread struct {
	median, least, most float64
	count               int
}

// of gives the spread of a number over the rounds.
func (r results) of(name, unit string) spread {
	var v []float64
	for _, s := range r {
		if n, ok := s.get(unit); ok && s.name == name {
			v = append(v, n)
		}
	}
	if len(v) == 0 {
		return spread{}
	}
	slices.Sort(v)
	mid := len(v) / 2
	return spread{median: (v[mid] + v[len(v)-1-mid]) / 2, least: v[0], most: v[len(v)-1], count: len(v)}
}

// about says what was run where, as the head of a file in Go's benchmark format.
func (b *bench) about() string {
	version, verr := exec.Command("redis-server", "--version").Output() //nolint:noctx // it ends at once
	load, lerr := os.ReadFile("/proc/loadavg")                          // what else it was busy with, the benchmark included
	if verr != nil || lerr != nil {
		load = []byte("unknown")
	}
	return fmt.Sprintf("goos: %s\ngoarch: %s\npkg: voucherd\ncpus: %d\ngo: %s\nredis: %.21s\nmeasured: %s\ntook: %s\nload-at-end: %.14s\nrounds: %d\nquick: %t\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), version, time.Now().UTC().Format(time.DateOnly),
		time.Since(b.began).Round(time.Second), load, b.opts.Rounds, b.opts.Quick)
}

// save writes results.txt and tables.md into a directory.
func (r results) save(dir, head, tables string) error {
	var text strings.Builder
	text.WriteString(head)
	for _, s := range r {
		text.WriteString(s.line(true) + "\n")
	}
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "results.txt"), []byte(text.String()), 0o644) //nolint:gosec // for everybody to read
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "tables.md"), []byte("```\n"+head+"```\n"+tables), 0o644) //nolint:gosec // as above
	}
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}
