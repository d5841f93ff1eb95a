package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/internal/doctor"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
)

type doctorCmd struct {
	Try   string `help:"Also send this one real voucher, and wait for what becomes of it." placeholder:"FILE"`
	Order string `help:"With --try: the order it is for." placeholder:"ID"`
	JSON  bool   `help:"Print JSON, one finding a line." name:"json"`

	kong.Plugins
}

// tryLimit is how long doctor waits for its one voucher.
const tryLimit = 2 * time.Minute

// Run examines the installation; it fails when something does not work.
func (c *doctorCmd) Run(ctx context.Context, s *session) error {
	if (c.Try == "") != (c.Order == "") {
		return usagef("--try FILE and --order ID go together")
	}
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		names, err := config.AccountNames(s.getenv)
		if err != nil {
			return err
		}
		rule, err := c.signRule(s)
		if err != nil {
			return err
		}
		found := doctor.Examine(ctx, doctor.Installation{
			Redis: st.Redis, Store: st.Blob, Tasks: st.Tasks, Accounts: names, SignRule: rule, ReplicasAck: st.ReplicasAck,
		})
		if c.Try != "" {
			found = append(found, c.try(ctx, s, st))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return c.report(s, found)
	})
}

// signRule gives the sign rule of the settings, which need not have an account.
func (c *doctorCmd) signRule(s *session) (ledger.SignRule, error) {
	rule, err := pandapon.ParseSignRule(cmp.Or(s.getenv("PANDAPON_SIGN_PARTS"), pandapon.SignRule{}.Text()))
	if err != nil {
		return ledger.SignRule{}, usagef("PANDAPON_SIGN_PARTS: %s", err)
	}
	return ledger.SignRule{
		Parts: rule.Text(), Unit: cmp.Or(s.getenv("PANDAPON_TIMESTAMP_UNIT"), string(pandapon.Milliseconds)),
	}, nil
}

func (c *doctorCmd) report(s *session, found []doctor.Finding) error {
	failed := 0
	t := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	for _, f := range found {
		if f.Grade == doctor.Fail {
			failed++
		}
		if c.JSON {
			if err := printJSON(s.stdout, f); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Grade, f.What, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", f.Advice)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the findings: %w", err)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(found))
	}
	return nil
}

// try enqueues one voucher and waits for it.
func (c *doctorCmd) try(ctx context.Context, s *session, st *app.Store) doctor.Finding {
	f := doctor.Finding{Grade: doctor.Fail, What: "one real voucher"}
	u, err := c.enqueueOne(ctx, s, st)
	if err != nil {
		f.Found, f.Advice = err.Error(), "nothing was sent"
		return f
	}
	if u.Spooled {
		f.Found, f.Advice = "redis is away", "nothing was sent yet; the voucher waits in the spool"
		return f
	}
	if u.Duplicate && u.State.Final() {
		f.Found = fmt.Sprintf("nothing was sent: the same voucher of this order was enqueued before, and is %s", u.State)
		f.Advice = "take another voucher or order, or send this one once more: `voucherd enqueue --again --wait`"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	u, err = st.Tasks.Wait(ctx, u.ID)
	f.Found = fmt.Sprintf("%s is %s after %d attempts", u.ID, u.State, u.AttemptCount)
	switch {
	case err == nil && u.State == ledger.Delivered:
		f.Grade, f.Found = doctor.OK, f.Found+", requestId "+u.RequestID
	case errors.Is(err, context.DeadlineExceeded):
		f.Advice = fmt.Sprintf("it goes on by itself if a worker runs; see `voucherd show %s`", u.ID)
	case err != nil:
		f.Found, f.Advice = err.Error(), "see above"
	default:
		f.Found += fmt.Sprintf(": code %s, %q", u.Code, u.Msg)
		f.Advice = "give PandaPon's support the requestId " + u.RequestID
	}
	return f
}

func (c *doctorCmd) enqueueOne(ctx context.Context, s *session, st *app.Store) (ledger.Upload, error) {
	voucher, err := s.openVoucher(ctx, c.Try)
	if err != nil {
		return ledger.Upload{}, err
	}
	defer voucher.Close()
	u, err := st.Tasks.Enqueue(ctx, tasks.Request{OrderID: c.Order, Voucher: voucher})
	return u, explainVoucher(c.Try, err)
}
