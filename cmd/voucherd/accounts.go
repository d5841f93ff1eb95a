package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

type accountsCmd struct {
	List   accountsListCmd   `cmd:"" default:"withargs" help:"Show the accounts: breaker, workers, backlog, rate, the API's last answer."`
	Pause  accountsPauseCmd  `cmd:"" help:"Hold an account: attempts under way end, and no other starts."`
	Resume accountsResumeCmd `cmd:"" help:"End the hold of an account."`
}

type accountsListCmd struct {
	Name string `arg:"" optional:"" help:"One account, in full; without it, all as a table, those in trouble first."`
	JSON bool   `help:"Print JSON, one account a line." name:"json"`

	kong.Plugins
}

// Run shows how every account stands.
func (c *accountsListCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		accounts, err := st.Tasks.Accounts(ctx)
		if err != nil {
			return err
		}
		if c.Name != "" {
			i := slices.IndexFunc(accounts, func(a tasks.AccountStatus) bool { return a.Account == c.Name })
			if i < 0 {
				return &tasks.UnknownAccountError{Account: c.Name, Known: accountNames(accounts)}
			}
			return s.printStatus(accounts[i], c.JSON)
		}
		if len(accounts) == 0 {
			fmt.Fprintln(s.stderr, "There is no account yet: none had an upload or a worker.")
			return nil
		}
		if !c.JSON {
			return printAccounts(s.screen(), accounts)
		}
		for _, a := range accounts {
			if err := printJSON(s.stdout, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func accountNames(accounts []tasks.AccountStatus) []string {
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = a.Account
	}
	return names
}

// printAccounts prints a table, those in trouble first, and below it what they wait for.
func printAccounts(to screen, accounts []tasks.AccountStatus) error {
	slices.SortFunc(accounts, tasks.CompareTrouble)
	t := table{columns: []column{
		{title: "ACCOUNT"},
		{title: "BREAKER", state: true},
		{title: "BACKLOG"},
		{title: "OLDEST", leave: 3},
		{title: "PER MINUTE", leave: 4},
		{title: "P95", leave: 2},
		{title: "WORKERS", text: true},
		{title: "LAST ANSWER", leave: 1, text: true},
	}}
	for _, l := range accounts {
		t.add(l.Account, breakerWords(l), strconv.FormatInt(l.Backlog, 10), dash(age(l.OldestAgeMS, time.Second)),
			strconv.FormatFloat(l.DeliveredPerMinute, 'f', -1, 64), dash(age(l.AttemptP95MS, 10*time.Millisecond)),
			workerWords(l), dash(answerWords(l.LastAnswer)))
	}
	if err := t.print(to); err != nil {
		return err
	}
	for _, l := range accounts {
		if waits := l.WaitsFor(localTime); waits != "" {
			if _, err := fmt.Fprintln(to, "! "+waits); err != nil {
				return err
			}
		}
	}
	return nil
}

// age writes milliseconds; "" for none.
func age(ms int64, grain time.Duration) string {
	if ms == 0 {
		return ""
	}
	return max(grain, (time.Duration(ms) * time.Millisecond).Round(grain)).String()
}

// answerWords tells the API's last answer; "" when there was none.
func answerWords(a *tasks.LastAnswer) string {
	if a == nil {
		return ""
	}
	said := outcomeWords(a.Outcome)
	if a.HTTPStatus != 0 {
		said += fmt.Sprintf(", HTTP %d", a.HTTPStatus)
	}
	return said + note(a.Code, ", code ") + note(a.Msg, ", saying: ")
}

func (s *session) printStatus(l tasks.AccountStatus, asJSON bool) error {
	if asJSON {
		return printJSON(s.stdout, l)
	}
	return printAccount(s.stdout, l)
}

type accountsPauseCmd struct {
	Name   string        `arg:"" help:"The account."`
	Reason string        `help:"Why; it is shown wherever the account is." required:"" placeholder:"TEXT" variable:"VOUCHERD_PAUSE_REASON"`
	For    time.Duration `help:"When it ends by itself; without it, only resume does." placeholder:"TIME" variable:"VOUCHERD_PAUSE_FOR"`
	JSON   bool          `help:"Print JSON." name:"json"`

	kong.Plugins
}

// Run holds the account.
func (c *accountsPauseCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		l, err := st.Tasks.Pause(ctx, tasks.PauseRequest{Account: c.Name, Reason: c.Reason, By: s.who("").By, For: c.For})
		if err != nil {
			return err
		}
		return s.printStatus(l, c.JSON)
	})
}

type accountsResumeCmd struct {
	Name string `arg:"" help:"The account."`
	JSON bool   `help:"Print JSON." name:"json"`

	kong.Plugins
}

// Run ends the hold.
func (c *accountsResumeCmd) Run(ctx context.Context, s *session) error {
	return s.withStore(ctx, func(ctx context.Context, st *app.Store) error {
		l, err := st.Tasks.Resume(ctx, c.Name)
		if err != nil {
			return err
		}
		return s.printStatus(l, c.JSON)
	})
}

func printAccount(w io.Writer, l tasks.AccountStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	row("account", l.Account)
	row("breaker", breakerWords(l))
	row("workers", workerWords(l))
	if l.Rate != "" {
		row("rate", "at most "+l.Rate)
	}
	if waits := l.WaitsFor(localTime); waits != "" {
		row("waits", "! "+waits)
	}
	if a := l.LastAnswer; a != nil {
		row("last answer", localTime(a.At)+"  "+answerWords(a))
	}
	backlog := plural(int(l.Backlog), "upload", "uploads")
	if l.OldestAgeMS > 0 {
		backlog += ", the oldest is " + age(l.OldestAgeMS, time.Second) + " old"
	}
	row("backlog", backlog)
	lately := fmt.Sprintf("%g delivered a minute", l.DeliveredPerMinute)
	if l.AttemptP95MS > 0 {
		lately += ", 95 % of calls take at most " + age(l.AttemptP95MS, 10*time.Millisecond)
	}
	row("last 5 min", lately)
	var counts []string
	for _, state := range ledger.States() {
		if n := l.Uploads[state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(counts) > 0 {
		row("uploads", strings.Join(counts, ", "))
	}
	return t.Flush()
}

// breakerWords says whether an account's breaker lets attempts pass.
func breakerWords(l tasks.AccountStatus) string {
	if l.Breaker == tasks.BreakerClosed {
		return string(l.Breaker)
	}
	return fmt.Sprintf("%s (%s)", l.Breaker, l.Reason)
}

// workerWords names the workers that live, or says that there is none.
func workerWords(l tasks.AccountStatus) string {
	var live []string
	for _, w := range l.Workers {
		if w.Live {
			live = append(live, fmt.Sprintf("%s (%s, last beat %s)", w.Name, cmp.Or(w.Version, "version unknown"), localTime(w.LastBeat)))
		}
	}
	if len(live) == 0 {
		return "none is running"
	}
	return fmt.Sprintf("%d: %s", len(live), strings.Join(live, ", "))
}
