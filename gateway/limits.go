package gateway

import (
	"context"
	"time"
)

// Limits bound what callers can make the gateway hold, in memory and in time. The zero value of a field stands for its
// default.
type Limits struct {
	Connections int // at once; 2048. One more closes the quiet connection that is oldest
	Uploads     int // vouchers taken at once; 64. Each holds at most about half a MiB of memory
	PassedOn    int // calls passed on to the API at once; 64
	HeaderBytes int // of a request; 16 KiB

	HeaderTime time.Duration // for a request's headers; 10 s
	ShortTime  time.Duration // for what is left of a refused request's body, and for answers; 15 s
	IdleTime   time.Duration // between two requests of a connection; 60 s

	BodyGrace time.Duration // a body may take this long, and then must have kept up BodyRate; 10 s
	BodyRate  int64         // bytes a second, on average; 16 KiB
	BodyTime  time.Duration // for a whole body, however long it is; 5 min

	SlotWait    time.Duration // for a place among Uploads or PassedOn; 2 s
	StoreTime   time.Duration // for storing a voucher once it is here; 30 s
	PassTime    time.Duration // for a call passed on, its body and the answer's included; 2 min
	PassedBytes int64         // of the body of a call passed on; 16 MiB
	StopTime    time.Duration // for requests under way when the server stops; 30 s
}

func (l Limits) withDefaults() Limits {
	or(&l.Connections, 2048)
	or(&l.Uploads, 64)
	or(&l.PassedOn, 64)
	or(&l.HeaderBytes, 16<<10)
	or(&l.HeaderTime, 10*time.Second)
	or(&l.ShortTime, 15*time.Second)
	or(&l.IdleTime, time.Minute)
	or(&l.BodyGrace, 10*time.Second)
	or(&l.BodyRate, 16<<10)
	or(&l.BodyTime, 5*time.Minute)
	or(&l.SlotWait, 2*time.Second)
	or(&l.StoreTime, 30*time.Second)
	or(&l.PassTime, 2*time.Minute)
	or(&l.PassedBytes, 16<<20)
	or(&l.StopTime, 30*time.Second)
	return l
}

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// slots are the places for work of one kind.
type slots chan struct{}

// take waits for a place. The caller calls leave once, unless ok is false.
func (s slots) take(ctx context.Context, wait time.Duration) (leave func(), ok bool) {
	leave = func() { <-s }
	select {
	case s <- struct{}{}:
		return leave, true
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s <- struct{}{}:
		return leave, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, false
}
