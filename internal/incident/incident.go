// Package incident gathers what went wrong within some time, as a report for PandaPon's support.
package incident

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// Store lists uploads; *tasks.Client is one.
type Store interface {
	List(ctx context.Context, q ledger.Query) (ledger.Page, error)
}

// Query says what a report is about.
type Query struct {
	Account string        // "": every account
	Since   time.Duration // how far it goes back
	Now     time.Time     // where it ends
	Most    int           // uploads that are read; 0: 20,000
}

// Report is what went wrong. It holds neither secrets nor vouchers.
type Report struct {
	Account string               `json:"account,omitempty"`
	From    ledger.Time          `json:"from"`
	To      ledger.Time          `json:"to"`
	Uploads int                  `json:"uploads"` // with an attempt that failed
	States  map[ledger.State]int `json:"states"`  // in which these are now
	Orders  []string             `json:"orders,omitempty"`
	Groups  []Group              `json:"groups,omitempty"` // the most frequent first
	Cut     bool                 `json:"cut,omitempty"`    // there was more than is read for one report
}

// Group is the attempts that failed alike.
type Group struct {
	Kind

	Attempts   int         `json:"attempts"`
	Uploads    int         `json:"uploads"`
	First      ledger.Time `json:"first"`
	Last       ledger.Time `json:"last"`
	RequestIDs []string    `json:"requestIds,omitempty"`
}

// Kind is what the attempts of a group have in common. Its message is PandaPon's, else our own
// error's.
type Kind struct {
	Outcome    ledger.Outcome `json:"outcome"`
	HTTPStatus int            `json:"httpStatus,omitempty"`
	Code       string         `json:"code,omitempty"`
	Message    string         `json:"message,omitempty"`
}

const (
	usualMost = 20_000 // uploads
	pageSize  = 100    // uploads that are in memory at once
	shownMost = 20     // request ids of a group, and orders
	groupMost = 200    // then messages no longer make groups of their own
)

// collector makes a report of one upload after the other.
type collector struct {
	report Report
	seen   map[string]bool
	groups map[Kind]*Group
}

// Collect reads what was changed within the time, and of that only so much as Most allows.
func Collect(ctx context.Context, store Store, q Query) (Report, error) {
	most := cmp.Or(q.Most, usualMost)
	c := &collector{
		report: Report{
			Account: q.Account, From: ledger.Time{Time: q.Now.Add(-q.Since)}, To: ledger.Time{Time: q.Now}, States: map[ledger.State]int{},
		},
		seen: map[string]bool{}, groups: map[Kind]*Group{},
	}
	// What waits for the API, and what was given up on, comes before what is well by now.
	for _, state := range []ledger.State{
		ledger.Sending, ledger.Waiting, ledger.Rejected, ledger.Expired, ledger.Discarded, ledger.Queued, ledger.Delivered,
	} {
		page := ledger.Query{Account: q.Account, State: state, Full: true, Limit: pageSize}
		if state.Final() {
			page.Since = q.Since // an unfinished one may be older than its last attempt
		}
		for {
			p, err := store.List(ctx, page)
			if err != nil {
				return Report{}, err
			}
			for _, u := range p.Uploads {
				c.add(u)
			}
			if most -= len(p.Uploads); most <= 0 && p.Cursor != "" {
				c.report.Cut = true
				return c.done(), nil
			}
			if page.Cursor = p.Cursor; page.Cursor == "" {
				break
			}
		}
	}
	return c.done(), nil
}

// add counts the attempts of an upload that failed within the time.
func (c *collector) add(u ledger.Upload) {
	if c.seen[u.ID] {
		return // it moved on while the report was made
	}
	failed := map[*Group]bool{}
	for _, a := range slices.Backward(u.Attempts) {
		if a.EndedAt.Before(c.report.From.Time) || a.Outcome == "" || a.Outcome == ledger.OutcomeDelivered {
			continue
		}
		g := c.group(a)
		g.Attempts++
		if !failed[g] {
			failed[g] = true
			g.Uploads++
		}
		if g.First.IsZero() || a.StartedAt.Before(g.First.Time) {
			g.First = a.StartedAt
		}
		if a.StartedAt.After(g.Last.Time) {
			g.Last = a.StartedAt
		}
		if a.RequestID != "" && len(g.RequestIDs) < shownMost {
			g.RequestIDs = append(g.RequestIDs, a.RequestID)
		}
	}
	if len(failed) == 0 {
		return
	}
	c.seen[u.ID] = true
	c.report.Uploads++
	c.report.States[u.State]++
	if len(c.report.Orders) < shownMost && !slices.Contains(c.report.Orders, u.OrderID) {
		c.report.Orders = append(c.report.Orders, u.OrderID)
	}
}

// group gives the group that an attempt belongs to.
func (c *collector) group(a ledger.Attempt) *Group {
	k := Kind{Outcome: a.Outcome, HTTPStatus: a.HTTPStatus, Code: a.Code, Message: messageOf(a)}
	if c.groups[k] == nil && len(c.groups) >= groupMost {
		k.Message = "…"
	}
	g := c.groups[k]
	if g == nil {
		g = &Group{Kind: k}
		c.groups[k] = g
	}
	return g
}

// messageOf gives what was said, without what is different each time: our own port, the request id.
func messageOf(a ledger.Attempt) string {
	if a.Msg != "" {
		return a.Msg
	}
	text := strings.TrimPrefix(a.Error, "pandapon: ")
	if a.RequestID != "" {
		text = strings.ReplaceAll(text, ", request id "+a.RequestID, "")
	}
	if before, after, ok := strings.Cut(text, "->"); ok {
		text = before[:strings.LastIndexByte(before, ' ')+1] + after
	}
	return text
}

func (c *collector) done() Report {
	for _, g := range c.groups {
		c.report.Groups = append(c.report.Groups, *g)
	}
	slices.SortFunc(c.report.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), a.First.Compare(b.First.Time), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Code, b.Code))
	})
	return c.report
}
