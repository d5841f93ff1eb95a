package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// accounts looks at each account and at who works on it.
func (e *examination) accounts(ctx context.Context) {
	accounts, err := e.Tasks.Accounts(ctx)
	if err != nil {
		e.add(Fail, "accounts", err.Error(), "see redis")
		return
	}
	for _, l := range accounts {
		what := "account " + l.Account
		e.workers(what, l)
		if l.Paused {
			e.add(Warn, what, "paused in asynq", "resume it in asynqmon when it shall go on")
		}
		if l.ClockSkewMS != 0 {
			skew := time.Duration(l.ClockSkewMS) * time.Millisecond
			e.add(Warn, what+" clock", fmt.Sprintf("PandaPon's clock is %v ahead of the workers'", skew),
				"set the workers' clocks by NTP; until then calls are signed with PandaPon's time")
		}
		e.breaker(what, l)
		e.sizes(ctx, what, l.Account)
		e.webhooks(ctx, what, l.Account)
	}
}

// sizes compares the indexes of an account: a worker puts right what differs, once it is looked at.
func (e *examination) sizes(ctx context.Context, what, account string) {
	s, err := e.Tasks.Sizes(ctx, account)
	if err != nil {
		e.add(Fail, what+" indexes", err.Error(), "see redis")
		return
	}
	sizes := fmt.Sprintf("%d unfinished uploads, %d that must have a task, %d tasks", s.Unfinished, s.Needed, s.Tasks)
	switch {
	case s.Needed == 0 && s.Unfinished+s.Tasks > 0:
		e.add(Warn, what+" indexes", sizes+": keys were lost",
			"run `voucherd rebuild`; a running worker finds what is missing too, in time")
	case s.Tasks < s.Needed:
		e.add(Warn, what+" indexes", sizes+": tasks are missing",
			"a running worker puts them within a minute; if that does not help, run `voucherd rebuild`")
	default:
		e.add(OK, what+" indexes", sizes, "")
	}
}

// workers says who works on an account.
func (e *examination) workers(what string, l tasks.AccountStatus) {
	var names []string
	for _, w := range l.Workers {
		if w.Live {
			names = append(names, w.Name)
		}
	}
	waits := fmt.Sprintf("%d uploads wait", l.Backlog)
	if l.Backlog == 1 {
		waits = "1 upload waits"
	}
	switch {
	case len(names) > 0:
		e.add(OK, what+" workers", strings.Join(names, ", "), "")
	case l.Backlog == 0:
		e.add(OK, what+" workers", "none is running, and nothing waits", "")
	case !l.Attended() && !slices.Contains(e.Accounts, l.Account):
		e.add(Fail, what+" workers", "no worker and no setting knows account "+l.Account+"; "+waits,
			"if the name is wrong, enqueue them again for the right one and discard these; else start a worker that has the account")
	default:
		e.add(Fail, what+" workers", "none is running, "+waits, "start `voucherd worker`")
	}
}

func (e *examination) breaker(what string, l tasks.AccountStatus) {
	said := "no answer of PandaPon yet"
	if a := l.LastAnswer; a != nil {
		said = fmt.Sprintf("last answer %s: %s", a.At.Local().Format(time.DateTime), a.Outcome)
		if a.HTTPStatus != 0 {
			said += fmt.Sprintf(", HTTP %d", a.HTTPStatus)
		}
		if a.Code != "" {
			said += ", code " + a.Code
		}
		if a.Msg != "" {
			said += ", " + strconv.Quote(a.Msg)
		}
	}
	if l.Breaker == tasks.BreakerClosed {
		e.add(OK, what, fmt.Sprintf("breaker closed, backlog %d; %s", l.Backlog, said), "")
		return
	}
	if p := l.Pause; p != nil {
		said = "by " + cmp.Or(p.By, "somebody") + ": " + strconv.Quote(p.Reason)
	}
	e.add(Fail, what, fmt.Sprintf("breaker %s since %s: %s, backlog %d; %s",
		l.Breaker, l.Since.Local().Format(time.DateTime), l.Reason, l.Backlog, said), Advice(l.Reason))
}

// Advice says what a person can do about an account whose breaker is open for this reason.
func Advice(reason string) string {
	switch reason {
	case "outage":
		return "PandaPon does not answer: nothing to do but wait; uploads go on by themselves when it is back"
	case "throttled":
		return "PandaPon asks for fewer calls: it goes on by itself; set VOUCHERD_RATE to what it allows if it comes back often"
	case "credentials":
		return "check PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET, PANDAPON_USER_ID and the clock; the accounts file and files of secrets are " +
			"read again when they change, what stands in a variable needs a restart of the workers; " +
			"if all are right, the sign rule may be another: `voucherd sign --learn FILE` finds it by a request that works, " +
			"and a gateway by calls that it refuses (its start page and log)"
	case "endpoint":
		return "the endpoint is gone or moved: ask PandaPon, and set PANDAPON_BASE_URL or PANDAPON_UPLOAD_PATH"
	case "refusing":
		return "every upload gets the same refusal: ask PandaPon what its code means, giving a requestId"
	case ledger.ReasonPaused:
		return "a person holds the account: when it shall go on, run `voucherd accounts resume NAME`"
	case ledger.ReasonStore:
		return "the blob store cannot be read: mount it or fix its permissions"
	case ledger.ReasonIdentity:
		return "vouchers are encrypted, and no identity of a worker opens them: VOUCHERD_IDENTITY_FILE of each worker must name " +
			"the file that has the identity of what VOUCHERD_ENCRYPT_TO was when they were enqueued; then restart the workers"
	default:
		return "see `voucherd accounts`"
	}
}
