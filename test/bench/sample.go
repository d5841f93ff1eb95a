package main

import "fmt"

// sample is one measurement. What does not apply is 0.
type sample struct {
	Scenario    string  `json:"scenario"`
	System      string  `json:"system"`
	Round       int     `json:"round"`
	VoucherSize int     `json:"voucherBytes"`
	Workers     int     `json:"workers"`
	Concurrency int     `json:"concurrency"`
	APIMS       float64 `json:"apiMs,omitempty"`
	RedisMS     float64 `json:"redisMs,omitempty"`
	Waiting     int     `json:"waiting,omitempty"`         // uploads in the queue behind those measured
	Delivered   int     `json:"deliveredBefore,omitempty"` // in the ledger

	Enqueue phase `json:"enqueue,omitzero"`
	Drain   phase `json:"drain,omitzero"`

	WaitingBytes   float64 `json:"redisBytesPerWaitingUpload,omitempty"`
	DeliveredBytes float64 `json:"redisBytesPerDeliveredUpload,omitempty"`
	IdleMemory     int64   `json:"workerIdleBytes,omitempty"` // resident, before the first task
	PeakMemory     int64   `json:"workerPeakBytes,omitempty"` // of one worker
	InFlight       int     `json:"mostInFlight,omitempty"`
}

// phase is one part of a measurement. All but Uploads and PerSecond is per upload.
type phase struct {
	Uploads       int     `json:"uploads"`
	PerSecond     float64 `json:"perSecond"`
	CPU           float64 `json:"cpuSecondsPer1000"` // of workers, or of the producer
	RedisCPU      float64 `json:"redisCpuSecondsPer1000"`
	Trips         float64 `json:"roundTrips"`
	Sent          float64 `json:"commandsSent"`
	Commands      float64 `json:"commandsRun"` // those within scripts included
	RedisInBytes  float64 `json:"redisInBytes"`
	RedisOutBytes float64 `json:"redisOutBytes"`

	ByCommand map[string]commandCost `json:"redisCommands"`
}

// newPhase makes a phase of what it took.
func newPhase(r Reply, u Usage, redis counters) phase {
	if r.Count == 0 || r.Elapsed <= 0 {
		return phase{}
	}
	n := float64(r.Count)
	commands, by := redis.commands(n)
	return phase{
		Uploads: r.Count, PerSecond: n / r.Elapsed.Seconds(), CPU: u.CPU.Seconds() / n * 1000, RedisCPU: redis.cpu() / n * 1000,
		Trips: float64(u.Trips) / n, Sent: float64(u.Commands) / n, Commands: commands,
		RedisInBytes: redis["total_net_input_bytes"] / n, RedisOutBytes: redis["total_net_output_bytes"] / n, ByCommand: by,
	}
}

// String is one line for people who watch.
func (s sample) String() string {
	return fmt.Sprintf("%-18s %7s  in %7.0f/s  out %7.0f/s  cpu %6.3f + redis %6.3f s/1000  trips %5.2f  peak %d MB",
		s.System, size(s.VoucherSize), enqueueRate(s), drainRate(s), s.Drain.CPU, s.Drain.RedisCPU, s.Drain.Trips, s.PeakMemory>>20)
}

// size writes a number of bytes shortly.
func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}
