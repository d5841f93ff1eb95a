package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	quick       bool
	scenarios   []string
	sizes       []int // bytes
	systems     []string
	rounds      int
	scale       float64
	time        time.Duration // planned for the whole run
	limit       time.Duration // of one phase of one measurement
	concurrency int
	backlog     []int
	delivered   int
	out         string
	profiles    string
	verbose     bool
}

const (
	usualTime = 9 * time.Minute
	quickTime = 80 * time.Second
)

func parse(args []string, help io.Writer) (options, error) {
	o := options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(help)
	names := f.String("scenarios", "",
		"what to measure, in order: workers, memory, latency, sizes, backlog; or all (default: all but backlog; quick: without latency too)")
	sizes := f.String("sizes", "2K,20K,200K,1M,5M", "sizes of voucher for the scenario sizes")
	systems := f.String("systems", "", "names of systems to keep in the scenario sizes, as the table has them (default: all)")
	backlog := f.String("backlog", "1000,100000,1000000", "uploads waiting in the scenario backlog")
	f.BoolVar(&o.quick, "quick", false, "small counts and few rounds, within 90 s: good for a first look only")
	f.IntVar(&o.rounds, "rounds", 0, "most rounds of each measurement (default 5, quick 2); fewer when time is up")
	f.Float64Var(&o.scale, "scale", 0, "multiplies the counts of uploads (default 1, quick 0.2)")
	f.DurationVar(&o.time, "time", 0, "planned length of the run, without the scenario backlog (default 9m, quick 80s)")
	f.DurationVar(&o.limit, "limit", 0, "most that one phase of one measurement may take (default 10s, quick 3s)")
	f.IntVar(&o.concurrency, "concurrency", 16, "calls at a time, and producers at a time, of every system")
	f.IntVar(&o.delivered, "delivered", 1_000_000, "uploads delivered before, for the largest backlog")
	f.StringVar(&o.out, "out", "artefacts/bench", "directory for results.json and tables.md")
	f.StringVar(&o.profiles, "profiles", "", "directory that takes a CPU profile of every drain")
	f.BoolVar(&o.verbose, "v", false, "prints every measurement")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	o.fill(names)
	var errs [3]error
	o.scenarios, errs[0] = scenarioList(*names)
	o.sizes, errs[1] = numbers(*sizes)
	o.backlog, errs[2] = numbers(*backlog)
	if *systems != "" {
		o.systems = strings.Split(*systems, ",")
	}
	return o, errors.Join(append(errs[:], o.check())...)
}

// fill puts in what was not given.
func (o *options) fill(names *string) {
	rounds, scale, planned, limit, usual := 5, 1.0, usualTime, 10*time.Second, "workers,memory,latency,sizes"
	if o.quick {
		rounds, scale, planned, limit, usual = 2, 0.2, quickTime, 3*time.Second, "workers,memory,sizes"
	}
	*names = cmp.Or(*names, usual)
	o.rounds, o.scale = cmp.Or(o.rounds, rounds), cmp.Or(o.scale, scale)
	o.time, o.limit = cmp.Or(o.time, planned), cmp.Or(o.limit, limit)
}

func (o *options) check() error {
	if o.rounds < 1 || o.scale <= 0 || o.time <= 0 || o.limit <= 0 || o.concurrency < 1 || o.delivered < 0 {
		return errors.New("numbers must be above 0")
	}
	return nil
}

// hardLimit is when the run is broken off.
func (o *options) hardLimit() time.Duration {
	limit := 2*o.time + 2*time.Minute
	if slices.Contains(o.scenarios, scenarioBacklog) {
		limit += time.Hour
	}
	return limit
}

// scaled gives a count of uploads.
func (o *options) scaled(n int) int { return max(8, int(float64(n)*o.scale)) }

func scenarioList(s string) ([]string, error) {
	var all []string
	for _, s := range scenarios() {
		all = append(all, s.name)
	}
	if s == "all" {
		return all, nil
	}
	names := strings.Split(s, ",")
	for _, n := range names {
		if find(n).name == "" {
			return nil, fmt.Errorf("--scenarios: %q must be one of %s", n, strings.Join(all, ", "))
		}
	}
	return names, nil
}

// numbers reads a list such as 2K,1M.
func numbers(s string) ([]int, error) {
	var out []int
	for text := range strings.SplitSeq(s, ",") {
		digits, unit := text, 1
		if d, ok := strings.CutSuffix(text, "K"); ok {
			digits, unit = d, 1<<10
		} else if d, ok := strings.CutSuffix(text, "M"); ok {
			digits, unit = d, 1<<20
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q must be a number such as 1000, 20K or 1M", text)
		}
		out = append(out, n*unit)
	}
	return out, nil
}
