package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	scenarioChaos    = "chaos"
	scenarioFailover = "failover"

	storeRedis, storeFile = "redis", "file"
)

// scenario is a kind of run, with the defaults of its options.
type scenario struct {
	name              string
	vouchers, workers int
	store             string
	accounts          []account
	vars              [][2]string   // further settings of the workers
	delay             time.Duration // of a healthy answer
	run               func(*testbed, context.Context) error
}

func scenarios() []scenario {
	one, two := accounts("main"), accounts("main", "second")
	return []scenario{
		{scenarioChaos, 400, 2, storeRedis, two, compressed(), 150 * time.Millisecond, (*testbed).runChaos},
		// Slow enough for a backlog, so that every slot is taken when Redis forgets.
		{scenarioFailover, 500, 2, storeRedis, one, compressed(), 400 * time.Millisecond, (*testbed).runFailover},
		{"outage", 5000, 3, storeRedis, one, nil, 50 * time.Millisecond, (*testbed).runOutage},
		{"rejected", 12_000, 2, storeRedis, one, compressed(), 0, (*testbed).runRejected},
		{"rebuild", 1000, 2, storeFile, two, compressed(), 150 * time.Millisecond, (*testbed).runRebuild},
	}
}

// find gives the scenario of a name, or one without a name.
func find(name string) scenario {
	for _, s := range scenarios() {
		if s.name == name {
			return s
		}
	}
	return scenario{}
}

// options are the flags.
type options struct {
	scenario string
	vouchers int
	workers  int
	seed     uint64
	minutes  float64
	store    string
	bin      string
	keep     bool
}

// parse reads the command line.
func parse(args []string, help io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(help)
	f.StringVar(&o.scenario, "scenario", "",
		"chaos, failover, outage, rejected or rebuild (default: chaos and, at the same time, failover with either blob store)")
	f.IntVar(&o.vouchers, "n", 0, "vouchers to push through (default 400; failover 500, outage 5000, rejected 12000, rebuild 1000)")
	f.IntVar(&o.workers, "workers", 0, "worker processes (default 2; outage 3)")
	f.Uint64Var(&o.seed, "seed", 1, "what the plan is made from: the same seed does the same things at the same times")
	f.Float64Var(&o.minutes, "minutes", 10, "most minutes that the run may take")
	f.StringVar(&o.store, "store", "", "where vouchers lie: redis or file (default redis; rebuild file)")
	f.StringVar(&o.bin, "bin", "", "voucherd to run, instead of one built from the source")
	f.BoolVar(&o.keep, "keep", false, "keep logs and data even when all went well")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.scenario != "" && find(o.scenario).name == "" {
		return o, errors.New("--scenario must be chaos, failover, outage, rejected or rebuild, and there must be no other arguments")
	}
	for _, r := range o.runs() {
		if err := r.check(); err != nil {
			return o, err
		}
	}
	return o, nil
}

// runs gives the options of each scenario to run.
func (o options) runs() []options {
	if o.scenario != "" {
		return []options{o.filled()}
	}
	o.scenario = scenarioChaos
	all := []options{o.filled()}
	o.scenario = scenarioFailover
	stores := []string{storeRedis, storeFile}
	if o.store != "" {
		stores = []string{o.store}
	}
	for _, o.store = range stores {
		all = append(all, o.filled())
	}
	return all
}

// filled puts defaults where nothing was given.
func (o options) filled() options {
	s := find(o.scenario)
	o.vouchers, o.workers, o.store = cmp.Or(o.vouchers, s.vouchers), cmp.Or(o.workers, s.workers), cmp.Or(o.store, s.store)
	return o
}

// name tells runs apart.
func (o options) name() string { return o.scenario + " " + o.store }

func (o options) check() error {
	switch {
	case o.vouchers < 1 || o.workers < 1 || o.vouchers > 100_000 || o.workers > 20:
		return errors.New("--n must be 1 to 100000 and --workers 1 to 20")
	case !slices.Contains([]string{storeRedis, storeFile}, o.store):
		return errors.New("--store must be redis or file")
	case o.scenario == "rebuild" && o.store != storeFile:
		return errors.New("only a file store outlives Redis: --scenario rebuild needs --store file")
	case o.minutes <= 0 || o.minutes > 120:
		return fmt.Errorf("--minutes must be above 0 and at most 120, not %g", o.minutes)
	}
	return nil
}

// limit is how long the run may take.
func (o options) limit() time.Duration { return time.Duration(o.minutes * float64(time.Minute)) }
