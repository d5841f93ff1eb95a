package gateway

import (
	"cmp"
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
	l.Connections = cmp.Or(l.Connections, 2048)
	l.Uploads = cmp.Or(l.Uploads, 64)
	l.PassedOn = cmp.Or(l.PassedOn, 64)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 16<<10)
	l.HeaderTime = cmp.Or(l.HeaderTime, 10*time.Second)
	l.ShortTime = cmp.Or(l.ShortTime, 15*time.Second)
	l.IdleTime = cmp.Or(l.IdleTime, time.Minute)
	l.BodyGrace = cmp.Or(l.BodyGrace, 10*time.Second)
	l.BodyRate = cmp.Or(l.BodyRate, 16<<10)
	l.BodyTime = cmp.Or(l.BodyTime, 5*time.Minute)
	l.SlotWait = cmp.Or(l.SlotWait, 2*time.Second)
	l.StoreTime = cmp.Or(l.StoreTime, 30*time.Second)
	l.PassTime = cmp.Or(l.PassTime, 2*time.Minute)
	l.PassedBytes = cmp.Or(l.PassedBytes, 16<<20)
	l.StopTime = cmp.Or(l.StopTime, 30*time.Second)
	return l
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
