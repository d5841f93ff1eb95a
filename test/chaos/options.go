package main

import (
	"cmp"
	"context"
	"time"
)

const (
	scenarioChaos    = "chaos"
	scenarioFailover = "failover"
	scenarioNetwork  = "network"

	storeRedis, storeFile = "redis", "file"
)

// scenario is a kind of run, with the defaults of its options.
type scenario struct {
	name              string
	vouchers, workers int
	store             string
	accounts          []account
	vars              []string      // further settings of the workers
	delay             time.Duration // of a healthy answer
	run               func(*testbed, context.Context) error
}

func scenarios() []scenario {
	one, two := accounts("main"), accounts("main", "second")
	return []scenario{
		{scenarioChaos, 400, 3, storeRedis, two, compressed(), 150 * time.Millisecond, (*testbed).runChaos},
		// Slow enough for a backlog, so that every slot is taken when Redis forgets.
		{scenarioFailover, 500, 2, storeRedis, one, compressed(), 400 * time.Millisecond, (*testbed).runFailover},
		{scenarioNetwork, 200, 3, storeRedis, two, compressed(), 150 * time.Millisecond, (*testbed).runNetwork},
		{"outage", 5000, 3, storeRedis, one, nil, 50 * time.Millisecond, (*testbed).runOutage},
		{"rejected", 12_000, 2, storeRedis, one, compressed(), 0, (*testbed).runRejected},
		{"rebuild", 1000, 2, storeFile, two, compressed(), 150 * time.Millisecond, (*testbed).runRebuild},
	}
}

// find gives the scenario of a name.
func find(name string) (s scenario) {
	for _, s = range scenarios() {
		if s.name == name {
			break
		}
	}
	return s
}

// options are the flags.
type options struct {
	Scenario string        `help:"chaos, failover, network, outage, rejected or rebuild (default: chaos and, at the same time, network, and failover with either blob store)." enum:",chaos,failover,network,outage,rejected,rebuild" default:""`
	N        int           `help:"Vouchers to push through (default 400; failover 500, network 200, outage 5000, rejected 12000, rebuild 1000)."`
	Workers  int           `help:"Worker processes (default 2; chaos, network and outage 3)."`
	Seed     uint64        `help:"What the plan is made from: the same seed does the same things at the same times." default:"1"`
	Limit    time.Duration `help:"Most time that the run may take." default:"10m"`
	Drain    time.Duration `help:"Most time until all is delivered when nothing fails any more." default:"3m"`
	Store    string        `help:"Where vouchers lie: redis or file (default redis; rebuild file)." enum:",redis,file" default:""`
	Bin      string        `help:"voucherd to run, instead of one built from the source." type:"existingfile"`
	Keep     bool          `help:"Keep logs and data even when all went well."`
}

// runs gives the options of each scenario to run.
func (o options) runs() []options {
	if o.Scenario != "" {
		return []options{o.filled()}
	}
	var all []options
	for _, name := range []string{scenarioChaos, scenarioNetwork, scenarioFailover} {
		o.Scenario = name
		all = append(all, o.filled())
	}
	if o.Store == "" {
		o.Store = storeFile
		all = append(all, o.filled())
	}
	return all
}

// filled puts defaults where nothing was given.
func (o options) filled() options {
	s := find(o.Scenario)
	o.N, o.Workers, o.Store = cmp.Or(o.N, s.vouchers), cmp.Or(o.Workers, s.workers), cmp.Or(o.Store, s.store)
	return o
}
