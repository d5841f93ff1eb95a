package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/voucherd/voucherd/events"
)

// lateWebhooks is from when on a person should look.
const lateWebhooks = 10 * time.Minute

// webhooks looks at how far the account's events have come.
func (e *examination) webhooks(ctx context.Context, what, account string) {
	s, has, err := events.ReadStatus(ctx, e.Redis, e.Tasks, account)
	switch {
	case err != nil:
		e.add(Fail, what+" webhooks", e.words(err), "see redis")
	case !has:
	case s.Error != "":
		e.add(Warn, what+" webhooks", fmt.Sprintf("the last event did not arrive: %s; the oldest that lacks is %v old", s.Error, s.Lag.Round(time.Second)),
			"look at the receiver; events are kept and sent again")
	case s.Lag > lateWebhooks:
		e.add(Warn, what+" webhooks", fmt.Sprintf("the oldest event that was not sent is %v old", s.Lag.Round(time.Second)),
			"does a worker with VOUCHERD_WEBHOOK_URL run?")
	default:
		e.add(OK, what+" webhooks", "all events arrived", "")
	}
}
