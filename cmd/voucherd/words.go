package main

import (
	"cmp"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// stateWords says where an upload stands, as the end of a sentence.
func stateWords(u ledger.Upload) string {
	switch u.State {
	case ledger.Queued:
		return "queued"
	case ledger.Sending:
		return "being sent"
	case ledger.Waiting:
		if u.NextAttempt.IsZero() {
			return "waiting for the next attempt"
		}
		return "waiting for the next attempt, due " + localTime(u.NextAttempt)
	case ledger.Delivered:
		return "delivered: PandaPon's API took the voucher" + note(u.RequestID, ", request id ")
	case ledger.Rejected:
		return "rejected" + because(u)
	case ledger.Expired:
		return "expired: it was still failing when its age limit was over" + note(u.Msg, "; the last answer was: ")
	case ledger.Discarded:
		return "discarded"
	default:
		return string(u.State)
	}
}

func because(u ledger.Upload) string {
	if u.Outcome == ledger.OutcomeInvalid {
		return ": the voucher is missing or damaged"
	}
	return ": the API refused it" + note(u.Code, ", code ") + note(u.Msg, ", saying: ")
}

func note(value, before string) string {
	if value == "" {
		return ""
	}
	return before + value
}

// outcomeWords says what an attempt came to.
func outcomeWords(v ledger.Outcome) string {
	switch v {
	case ledger.OutcomeDelivered:
		return "delivered"
	case ledger.OutcomeThrottled:
		return "told to wait"
	case ledger.OutcomeRefused:
		return "refused"
	case ledger.OutcomeUnavailable:
		return "API away, not received"
	case ledger.OutcomeUnclear:
		return "no clear answer, may have arrived"
	case ledger.OutcomeInterrupted:
		return "worker stopped, may have arrived"
	case ledger.OutcomeInvalid:
		return "voucher missing or damaged, not sent"
	case "":
		return "under way"
	default:
		return string(v)
	}
}

// localTime writes a time in the zone of the person who reads it, and which that is.
func localTime(t ledger.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime + " Z07:00")
}

// printUpload prints an upload, its attempts and what people did to it, for people. What it waits
// for, if for anything, comes before the time of its own next attempt, at which nothing can happen
// then.
func printUpload(to screen, u ledger.Upload, waits string) error {
	state, next := stateWords(u), localTime(u.NextAttempt)
	if waits != "" {
		state, next = string(u.State)+": "+waits, ""
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"upload", u.ID},
		{"order", u.OrderID},
		{"account", u.Account},
		{"user", u.UserID},
		{"reference", u.Reference},
		{"state", to.paint(state)},
		{"request id", u.RequestID},
		{"voucher", fmt.Sprintf("%s, %d bytes, sha256 %s", cmp.Or(u.MediaType, "file"), u.Size, u.SHA256)},
		{"created", localTime(u.CreatedAt)},
		{"delivered", localTime(u.DeliveredAt)},
		{"next attempt", next},
		{"expires", localTime(u.ExpiresAt)},
		{"attempts", strconv.Itoa(u.AttemptCount)},
		{"refusals", strconv.Itoa(u.Refusals)},
	} {
		if row[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(u.Attempts) > 0 {
		fmt.Fprintln(to)
		if err := printAttempts(to, u.Attempts); err != nil {
			return err
		}
	}
	if len(u.Actions) == 0 {
		return nil
	}
	fmt.Fprintln(to)
	return printActions(to, u.Actions)
}

func printActions(to screen, actions []ledger.Action) error {
	t := table{columns: []column{
		{title: timed("DONE AT")},
		{title: "WHAT"},
		{title: "IT WAS", leave: 1},
		{title: "BY"},
		{title: "REASON", leave: 2, text: true},
	}}
	for _, a := range actions {
		t.add(tableTime(a.At), actionWords(a.Action), string(a.State), dash(a.By), dash(a.Reason))
	}
	return t.print(to)
}

// actionWords says what a person did.
func actionWords(action string) string {
	switch action {
	case ledger.ActionRetry:
		return "retried"
	case ledger.ActionDiscard:
		return "discarded"
	case ledger.ActionAgain:
		return "enqueued again"
	case ledger.ActionReplace:
		return "discarded for another voucher"
	default:
		return action
	}
}

func printAttempts(to screen, attempts []ledger.Attempt) error {
	t := table{columns: []column{
		{title: "#"},
		{title: timed("STARTED")},
		{title: "TOOK", leave: 2},
		{title: "OUTCOME", state: true},
		{title: "HTTP", leave: 4},
		{title: "CODE", leave: 5},
		{title: "REQUEST ID", leave: 6},
		{title: "WORKER", leave: 1},
		{title: "WHAT WAS SAID", leave: 3, text: true},
	}}
	for _, a := range attempts {
		took, status := "", ""
		if !a.EndedAt.IsZero() {
			took = (time.Duration(a.DurationMS) * time.Millisecond).String()
		}
		if a.HTTPStatus != 0 {
			status = strconv.Itoa(a.HTTPStatus)
		}
		t.add(strconv.Itoa(a.Number), tableTime(a.StartedAt), dash(took), outcomeWords(a.Outcome), dash(status), dash(a.Code),
			dash(a.RequestID), a.Worker, dash(cmp.Or(a.Msg, a.Error)))
	}
	return t.print(to)
}

func dash(s string) string { return cmp.Or(s, "-") }
