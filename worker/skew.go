package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/pandapon"
)

// PandaPon refuses timestamps that are more than 600 s off. Well before that the difference to its clock, as its Date
// header shows it, is added to what is signed.
const (
	skewCorrected = 30 * time.Second
	skewChanged   = 5 * time.Second // less is noise: Date has a grain of one second, and answers take their time
)

// skew is how far the API's clock is ahead of this host's.
type skew struct {
	mu  sync.Mutex
	now time.Duration // 0: not worth a correction
}

// correction is what to add to the clock before signing.
func (s *skew) correction() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// observe takes in an answer's Date, and notes a change where doctor and lanes show it.
func (s *skew) observe(ctx context.Context, l *lane, date, received time.Time) {
	if date.IsZero() {
		return
	}
	seen := date.Sub(received).Round(time.Second)
	if seen.Abs() <= skewCorrected {
		seen = 0
	}
	s.mu.Lock()
	before := s.now
	changed := (seen - before).Abs() >= skewChanged
	if changed {
		s.now = seen
	}
	s.mu.Unlock()
	if !changed {
		return
	}
	l.log.Warn("clock.skewed", zap.Duration("api_ahead_by", seen), zap.Duration("before", before))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.set.RedisTimeout)
	defer cancel()
	if err := l.ledger.NoteSkew(ctx, l.name, seen); err != nil {
		l.log.Warn("ledger.unreachable", zap.Error(err))
	}
}

// dateOf gives the time of the API's clock when it answered; zero when it did not say.
func dateOf(receipt pandapon.Receipt, err error) time.Time {
	if e, ok := errors.AsType[*pandapon.Error](err); ok {
		return e.Date
	}
	return receipt.Date
}
