package doctor

import (
	"context"
	"fmt"
	"time"
)

// signRules tells of calls that a gateway refused, and that other settings would have accepted.
func (e *examination) signRules(ctx context.Context) {
	for _, account := range e.Accounts {
		rule, seen, err := e.Tasks.SignRule(ctx, account)
		what := "account " + account + " signature"
		switch {
		case err != nil:
			e.add(Fail, what, e.words(err), "see redis")
		case seen.IsZero() || rule == e.SignRule:
		default:
			e.add(Warn, what,
				fmt.Sprintf("a gateway refused a call at %s that the account's secret signed by another rule", seen.Local().Format(time.DateTime)),
				fmt.Sprintf("if PandaPon accepts calls of that program, set PANDAPON_SIGN_PARTS='%s' and PANDAPON_TIMESTAMP_UNIT=%s for workers and gateways",
					rule.Parts, rule.Unit))
		}
	}
}
