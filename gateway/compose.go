package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/gateway/intake"
	"github.com/voucherd/voucherd/gateway/web"
	"github.com/voucherd/voucherd/ledger"
)

// compose makes the handlers. What they ask of a request, the gateway knows by then.
func (g *Gateway) compose() error {
	var inErr, dropInErr, pagesErr error
	g.intake, inErr = intake.New(intake.Config{
		Tasks: g.cfg.Tasks, Accounts: namesOf(g.cfg.Accounts), MaxVoucherBytes: g.cfg.MaxVoucherBytes, Limits: g.limits.intake(),
		Enqueued: g.cfg.Enqueued, Note: note, By: by,
	})
	g.dropIn, dropInErr = dropin.New(dropin.Config{
		Accounts: g.cfg.Accounts, Rule: g.cfg.Rule, Intake: g.intake, Limits: g.limits.dropIn(), Now: g.cfg.Now,
		ErrorLog: quietLog(g.log), Note: note, Cause: noteCause,
		RequestID: func(r *http.Request) string { return accessLogOf(r).id }, Learnt: g.tellLearnt,
	})
	g.pages, pagesErr = web.New(web.Config{
		Store: g.cfg.Tasks, Now: g.cfg.Now, Viewer: g.viewer, Note: note, Cause: noteCause, By: by,
		Webhooks: g.cfg.Webhooks, Spooled: g.cfg.Tasks.Spooled,
		Learnt: func() (all []web.LearntRule) {
			for _, rule := range g.dropIn.Learnt() {
				all = append(all, web.LearntRule(rule))
			}
			return all
		},
	})
	return errors.Join(inErr, dropInErr, pagesErr)
}

// SetAccounts makes a gateway know these accounts and no others, from the next request on. After an
// error it knows those that it knew.
func (g *Gateway) SetAccounts(accounts []dropin.Account) error {
	if err := checkPaths(accounts); err != nil {
		return err
	}
	if err := g.dropIn.SetAccounts(accounts); err != nil {
		return err
	}
	g.intake.SetAccounts(namesOf(accounts))
	return nil
}

func namesOf(accounts []dropin.Account) []string {
	var names []string
	for _, a := range accounts {
		names = append(names, a.Name)
	}
	return names
}

// noteLimit bounds the note of a rule, which nobody waits for.
const noteLimit = 5 * time.Second

// tellLearnt tells of settings that would have accepted a call which was refused: in the log, and by
// the ledger to `voucherd doctor`.
func (g *Gateway) tellLearnt(rule dropin.LearntRule) {
	g.log.Warn("signature.learnt", zap.String("account", rule.Account),
		zap.String("sign_parts", rule.SignParts), zap.String("timestamp_unit", rule.TimestampUnit))
	ctx, cancel := context.WithTimeout(context.Background(), noteLimit)
	defer cancel()
	err := g.cfg.Tasks.NoteSignRule(ctx, rule.Account, ledger.SignRule{Parts: rule.SignParts, Unit: rule.TimestampUnit}, rule.SeenAt)
	if err != nil {
		g.log.Warn("signature.not_noted", zap.String("account", rule.Account), zap.Error(err))
	}
}

// note puts what is known of an upload onto the access log line.
func note(r *http.Request, u ledger.Upload) {
	entry := accessLogOf(r)
	entry.account = cmp.Or(u.Account, entry.account)
	entry.uploadID = cmp.Or(u.ID, entry.uploadID)
	entry.orderID = cmp.Or(u.OrderID, entry.orderID)
}

// by names whoever makes a request, for the records of what it does: by the token, or without any by
// where alone it can come from.
func by(r *http.Request) string { return cmp.Or(accessLogOf(r).identity.Name, "loopback") }

// noteCause puts an error onto the access log line.
func noteCause(r *http.Request, err error) { accessLogOf(r).cause = err }

func (g *Gateway) viewer(r *http.Request) web.Viewer {
	entry := accessLogOf(r)
	return web.Viewer{
		Name: entry.identity.Name, Operator: entry.identity.Operator(), Queues: g.queuesFor(entry.identity) != nil, Secure: entry.secure,
		Session: entry.session,
	}
}
