package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"
)

// options are the flags.
type options struct {
	scenario string
	vouchers int
	workers  int
	seed     uint64
	minutes  float64
	store    string
	report   string
	bin      string
	keep     bool
}

const (
	scenarioChaos    = "chaos"
	scenarioOutage   = "outage"
	scenarioRejected = "rejected"
	scenarioRebuild  = "rebuild"
	scenarioFailover = "failover"

	storeRedis, storeFile = "redis", "file"
)

// defaults are the numbers of vouchers and workers of each scenario.
func defaults(scenario string) (vouchers, workers int) {
	switch scenario {
	case scenarioOutage:
		return 5000, 3
	case scenarioRejected:
		return 12_000, 2
	case scenarioRebuild:
		return 1000, 2
	case scenarioFailover:
		return 500, 2
	default:
		return 400, 2
	}
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
	f.StringVar(&o.report, "report", "", "file that takes the report as JSON")
	f.StringVar(&o.bin, "bin", "", "voucherd to run, instead of one built from the source")
	f.BoolVar(&o.keep, "keep", false, "keep logs and data even when all went well")
	if err := f.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // it has been printed
	}
	scenarios := []string{scenarioChaos, scenarioOutage, scenarioRejected, scenarioRebuild, scenarioFailover}
	if f.NArg() > 0 || o.scenario != "" && !slices.Contains(scenarios, o.scenario) {
		return o, fmt.Errorf("--scenario is one of %v, and there are no other arguments", scenarios)
	}
	if o.report != "" && o.scenario == "" {
		return o, errors.New("--report takes one report: give a --scenario too")
	}
	for _, r := range o.runs() {
		if err := r.check(); err != nil {
			return o, err
		}
	}
	return o, nil
}

// runs gives the options of each scenario that is to be carried out.
func (o options) runs() []options {
	if o.scenario != "" {
		return []options{o.filled()}
	}
	chaos := o
	chaos.scenario, o.scenario = scenarioChaos, scenarioFailover
	all := []options{chaos.filled()}
	for _, o.store = range stores(o.store) {
		all = append(all, o.filled())
	}
	return all
}

func stores(given string) []string {
	if given != "" {
		return []string{given}
	}
	return []string{storeRedis, storeFile}
}

// filled puts defaults where nothing was given.
func (o options) filled() options {
	vouchers, workers := defaults(o.scenario)
	o.vouchers, o.workers = cmp.Or(o.vouchers, vouchers), cmp.Or(o.workers, workers)
	if o.store == "" {
		o.store = storeRedis
		if o.scenario == scenarioRebuild {
			o.store = storeFile
		}
	}
	return o
}

// name tells runs apart.
func (o options) name() string { return o.scenario + " " + o.store }

func (o options) check() error {
	switch {
	case o.vouchers < 1 || o.workers < 1 || o.vouchers > 100_000 || o.workers > 20:
		return errors.New("--n is 1 to 100000 and --workers 1 to 20")
	case o.store != storeRedis && o.store != storeFile:
		return errors.New("--store is redis or file")
	case o.scenario == scenarioRebuild && o.store != storeFile:
		return errors.New("only a file store outlives Redis: --scenario rebuild needs --store file")
	case o.minutes <= 0 || o.minutes > 120:
		return errors.New("--minutes is above 0 and at most 120")
	}
	return nil
}

// limit is how long the run may take.
func (o options) limit() time.Duration { return time.Duration(o.minutes * float64(time.Minute)) }
