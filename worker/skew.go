package worker

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/pandapon"
)

// PandaPon refuses timestamps that are more than 600 s off. Well before that the difference to its
// clock, as its Date header shows it, is added to what is signed.
const (
	skewCorrected = 30 * time.Second
	skewChanged   = 5 * time.Second // less is noise: Date has a grain of 1 s, and answers take time
	skewMost      = 24 * time.Hour  // no host is so far off and notices nothing else
	skewWarnEvery = 10 * time.Minute
)

// skew is how far the API's clock is ahead of this host's. One wrong Date must not make good calls
// fail for their timestamp, so it takes two samples in a row that agree.
type skew struct {
	mu      sync.Mutex
	now     time.Duration // 0: not worth a correction
	last    time.Duration // the newest sample
	sampled bool
	warned  time.Time
}

// clockSample is what one answer said of the API's clock.
type clockSample struct {
	date, received time.Time
	ours           bool // PandaPon's envelope came with it; else a proxy may have answered
}

// sampleOf reads an answer that has just come.
func sampleOf(receipt pandapon.Receipt, err error) clockSample {
	date, env := receipt.Date, receipt.Envelope
	if e, ok := errors.AsType[*pandapon.Error](err); ok {
		date, env = e.Date, e.Envelope
	}
	return clockSample{date: date, received: time.Now(), ours: env.Code != "" && env.RequestID != ""}
}

// correction is what to add to the clock before signing.
func (s *skew) correction() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// observe takes in a sample. It gives the correction, and says whether it is a new one.
func (s *skew) observe(c clockSample, log *zap.Logger) (now time.Duration, news bool) {
	if c.date.IsZero() {
		return 0, false
	}
	seen := c.date.Sub(c.received).Round(time.Second)
	if !c.ours || seen.Abs() > skewMost {
		if seen.Abs() > skewCorrected && s.mayWarn(c.received) {
			log.Warn("clock.untrusted", zap.Time("date", c.date), zap.Bool("envelope", c.ours))
		}
		return 0, false
	}
	before, now := s.learn(seen)
	if now != before {
		log.Warn("clock.skewed", zap.Duration("api_ahead_by", now), zap.Duration("before", before))
	}
	return now, now != before
}

// learn gives the correction before and after a sample.
func (s *skew) learn(seen time.Duration) (before, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	agree := s.sampled && (seen-s.last).Abs() < skewChanged
	s.last, s.sampled = seen, true
	if seen.Abs() <= skewCorrected {
		seen = 0
	}
	before = s.now
	if agree && (seen-before).Abs() >= skewChanged {
		s.now = seen
	}
	return before, s.now
}

// mayWarn says whether the last warning is long enough ago.
func (s *skew) mayWarn(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.warned.IsZero() && now.Sub(s.warned) < skewWarnEvery {
		return false
	}
	s.warned = now
	return true
}
