package demo

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// report prints what became of every upload, and returns an error unless all were delivered as they
// were enqueued.
func (s *Show) report() error {
	t := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0) // Flush tells its errors
	_, _ = fmt.Fprintln(t, "\nUPLOAD\tORDER\tATTEMPTS\tOUTCOME\tREQUEST ID")
	arrived := arrivals(s.Box.Requests())
	var faults []error
	for _, u := range s.watch.uploads {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", u.ID, u.OrderID, u.AttemptCount, u.Outcome, u.RequestID)
		switch {
		case u.State != ledger.Delivered:
			faults = append(faults, fmt.Errorf("order %s is %s, not delivered", u.OrderID, u.State))
		case arrived[u.OrderID+u.SHA256] == 0:
			faults = append(faults, fmt.Errorf("order %s counts as delivered, but the API never got its voucher byte for byte", u.OrderID))
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	s.say("\n%s\n", s.seen())
	return errors.Join(faults...)
}

// arrivals counts how often the API took each voucher, by order and hash.
func arrivals(log []sandbox.Request) map[string]int {
	n := map[string]int{}
	for _, r := range log {
		if r.Accepted {
			n[r.OrderID+r.SHA256]++
		}
	}
	return n
}

// seen explains the report in a line.
func (s *Show) seen() string {
	delivered, during, twice := s.earlier, 0, 0
	for _, u := range s.watch.uploads {
		if u.State == ledger.Delivered {
			delivered++
		}
	}
	log := s.Box.Requests()
	for _, n := range arrivals(log) {
		if n > 1 {
			twice++
		}
	}
	var away time.Duration
	for _, o := range s.outages {
		to := o.to
		if to.IsZero() {
			to = time.Now()
		}
		away += to.Sub(o.from)
		for _, r := range log {
			if r.At.After(o.from) && r.At.Before(to) {
				during++
			}
		}
	}
	text := fmt.Sprintf("What was seen: of %d vouchers %d were delivered, byte for byte, although the API was away for %s; "+
		"it was asked %d times meanwhile, for the breaker lets one probe at a time through.",
		s.earlier+len(s.watch.uploads), delivered, away.Round(100*time.Millisecond), during)
	if twice > 0 {
		text += fmt.Sprintf(" %d arrived twice: its first answer was cut off, and a voucher that may have arrived is sent again, and said so (unclear).", twice)
	}
	return text
}
