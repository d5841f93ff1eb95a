package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// SignRule is a sign rule as the settings write it.
type SignRule struct{ Parts, Unit string }

// keepSignRule is how long a rule that was seen is of interest.
const keepSignRule = 7 * 24 * time.Hour

// NoteSignRule keeps the rule by which a call was signed that a gateway refused, until another is
// seen, and for 7 days.
func (l *Ledger) NoteSignRule(ctx context.Context, account string, rule SignRule, seen Time) error {
	text := fmt.Sprintf("%s\t%s\t%d", rule.Parts, rule.Unit, unix(seen))
	if err := l.rdb.Set(ctx, prefix(account)+"rule", text, keepSignRule).Err(); err != nil {
		return fmt.Errorf("note the sign rule of account %s: %w", account, err)
	}
	return nil
}

// SignRule gives the rule that was noted last, and when it was seen; a zero time: none was, lately.
func (l *Ledger) SignRule(ctx context.Context, account string) (SignRule, Time, error) {
	text, err := l.rdb.Get(ctx, prefix(account)+"rule").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return SignRule{}, Time{}, fmt.Errorf("read the sign rule of account %s: %w", account, err)
	}
	f := strings.Split(text, "\t")
	if len(f) != 3 {
		return SignRule{}, Time{}, nil
	}
	return SignRule{f[0], f[1]}, at(integer(f[2])), nil
}
