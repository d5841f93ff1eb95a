package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/voucherd/voucherd/ledger"
)

// Action is something that a person does to uploads.
type Action string

// The actions.
const (
	ActionRetry   Action = ledger.ActionRetry   // Client.Retry
	ActionDiscard Action = ledger.ActionDiscard // Client.Discard
)

// Allowed says whether an upload in this state may have it done. The ledger has the last word.
func (a Action) Allowed(s ledger.State) bool {
	switch s {
	case ledger.Queued, ledger.Waiting, ledger.Rejected, ledger.Expired:
		return true
	case ledger.Sending, ledger.Delivered, ledger.Discarded:
	}
	return false
}

// possible also counts what may be allowed by the time it is done, or is done already.
func (a Action) possible(s ledger.State) bool {
	return a.Allowed(s) || a == ActionDiscard && s != ledger.Delivered
}

// Requirement says in a sentence which uploads the action is for.
func (a Action) Requirement() string {
	if a == ActionDiscard {
		return "uploads that were not delivered and are not being sent can be discarded"
	}
	return "only queued, waiting, rejected and expired uploads can be retried"
}

// Explain says in a sentence why an upload was left alone.
func (a Action) Explain(id string, err error) string {
	if state, ok := errors.AsType[*ledger.StateError](err); ok {
		return fmt.Sprintf("%s is %s; %s", id, state.State, a.Requirement())
	}
	return fmt.Sprintf("%s: %v", id, err)
}

// Act does it to one upload. Errors are those of Retry and Discard.
func (c *Client) Act(ctx context.Context, a Action, id string, who ledger.Who) (ledger.Upload, error) {
	if a == ActionDiscard {
		return c.Discard(ctx, id, who)
	}
	return c.Retry(ctx, id, who)
}

// Selection names uploads to act on: by keys, by a query, or by both.
type Selection struct {
	Keys    []string      // as Find takes them
	Account string        // only uploads of this account; "": of any
	Query   *ledger.Query // everything that it matches; its Account, order and page are Select's. nil: keys alone
}

// Select gives the ids to act on, each once, those of the query first, oldest first. It reads them
// all before anything is done, for what is acted on moves within a list. A key that names several
// uploads stands for those that may be acted on; one that names none is an error,
// ledger.ErrNotFound when there is no such upload.
func (c *Client) Select(ctx context.Context, a Action, s Selection) ([]string, error) {
	ids, seen := []string{}, map[string]bool{}
	add := func(uploads []ledger.Upload) {
		for _, u := range uploads {
			if !seen[u.ID] {
				seen[u.ID] = true
				ids = append(ids, u.ID)
			}
		}
	}
	if err := c.matching(ctx, s, add); err != nil {
		return nil, err
	}
	for _, key := range s.Keys {
		found, err := c.named(ctx, a, key, s.Account)
		if err != nil {
			return nil, err
		}
		add(found)
	}
	return ids, nil
}

const selectPage = 500 // uploads

// matching reads everything that the query matches, page by page.
func (c *Client) matching(ctx context.Context, s Selection, add func([]ledger.Upload)) error {
	if s.Query == nil {
		return nil
	}
	q := *s.Query
	q.Account, q.OldestFirst, q.Limit, q.Cursor = s.Account, true, selectPage, ""
	for {
		p, err := c.List(ctx, q)
		if err != nil {
			return err
		}
		add(p.Uploads)
		if q.Cursor = p.Cursor; q.Cursor == "" {
			return nil
		}
	}
}

// named gives the uploads of a key that may be acted on, oldest first.
func (c *Client) named(ctx context.Context, a Action, key, account string) ([]ledger.Upload, error) {
	found, err := c.Find(ctx, key)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(u ledger.Upload) bool { return account != "" && u.Account != account })
	fit := slices.DeleteFunc(slices.Clone(found), func(u ledger.Upload) bool { return !a.possible(u.State) })
	switch {
	case len(fit) > 0:
		slices.Reverse(fit)
		return fit, nil
	case len(found) == 0:
		return nil, fmt.Errorf("%q in account %s: %w", key, account, ledger.ErrNotFound)
	case len(found) == 1:
		return nil, fmt.Errorf("%s is %s; %s", found[0].ID, found[0].State, a.Requirement())
	default:
		return nil, fmt.Errorf("none of the %d uploads of %s fits; %s", len(found), key, a.Requirement())
	}
}

// Bulk is an action on many uploads.
type Bulk struct {
	Action Action
	IDs    []string
	AtOnce int        // uploads at a time; 0: one, in order
	Rate   float64    // uploads a second; 0: as fast as it goes
	Who    ledger.Who // who does so
}

// ErrTooSlow means that at this rate the context would end before the next upload's turn.
var ErrTooSlow = errors.New("the time is over before the next upload's turn")

// ActAll does it to many, and calls done with what became of each, one call at a time. It stops
// early, with the reason, when the context ends, or would before the next one (ErrTooSlow), or done
// returns an error; then done is not called
// for the rest.
func (c *Client) ActAll(ctx context.Context, b Bulk, done func(id string, r Result) error) error {
	var mu sync.Mutex
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(max(1, b.AtOnce))
	pace := rate.NewLimiter(rate.Inf, 1)
	if b.Rate > 0 {
		pace.SetLimit(rate.Limit(b.Rate))
	}
	for _, id := range b.IDs {
		if err := pace.Wait(limited); err != nil {
			if limited.Err() == nil {
				err = ErrTooSlow
			}
			group.Go(func() error { return err })
			break
		}
		group.Go(func() error {
			u, err := c.Act(limited, b.Action, id, b.Who)
			if over := limited.Err(); over != nil && errors.Is(err, over) {
				return over // nothing was done
			}
			mu.Lock()
			defer mu.Unlock()
			return done(id, Result{Upload: u, Err: err})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// Moved says that the upload was in another state by then, or gone: somebody was quicker.
func (r Result) Moved() bool {
	_, state := errors.AsType[*ledger.StateError](r.Err)
	return state || errors.Is(r.Err, ledger.ErrNotFound)
}
