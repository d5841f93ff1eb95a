package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// SearchLeast is how many characters of an order id Search needs to find it by its beginning or end.
const SearchLeast = 6

// searchMost bounds how many order ids, and then uploads, Search takes of each account for a part of
// an order id.
const searchMost = 100

// Search gives what Find gives for a text, and the uploads that have it as their reference. In an
// account without any, those whose order id begins or ends with it: a hundred of them. The
// error is ErrNotFound when there is none.
func (l *Ledger) Search(ctx context.Context, text string) ([]Upload, error) {
	return l.named(ctx, text, l.searchKeys)
}

// searchKeys gives the keys of an account's uploads that Search finds.
func (l *Ledger) searchKeys(ctx context.Context, account, text string) ([]string, error) {
	keys, err := l.keysOf(ctx, account, text)
	if err != nil {
		return nil, err
	}
	if of, key, notID := ParseID(text); notID == nil && of == account {
		keys = append(keys, key)
	}
	begin := "=" + text + "\x00"
	byReference, err := l.searchIndex(ctx, account, findMost, begin)
	if err != nil {
		return nil, err
	}
	for _, member := range byReference {
		keys = append(keys, member[len(begin):])
	}
	if len(keys) == 0 && len(text) >= SearchLeast {
		keys, err = l.keysOfPart(ctx, account, text)
	}
	slices.Sort(keys)
	return slices.Compact(keys), err
}

// keysOfPart gives the keys of uploads whose order id begins or ends with a text.
func (l *Ledger) keysOfPart(ctx context.Context, account, text string) ([]string, error) {
	members, err := l.searchIndex(ctx, account, searchMost, ">"+text, "<"+backwards(text))
	if err != nil {
		return nil, err
	}
	pipe := l.rdb.Pipeline()
	var orders []*redis.StringSliceCmd
	for _, m := range members {
		order := m[1:]
		if m[0] == '<' {
			order = backwards(order)
		}
		orders = append(orders, pipe.ZRevRange(ctx, prefix(account)+"o:"+order, 0, searchMost-1))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look up the orders of %q: %w", clip(text, 80), err)
	}
	var keys []string
	for _, order := range orders {
		keys = append(keys, order.Val()...)
	}
	return keys[:min(len(keys), searchMost)], nil
}

// searchIndex gives the entries of the search index that begin so, at most `most` for each beginning.
func (l *Ledger) searchIndex(ctx context.Context, account string, most int64, begins ...string) ([]string, error) {
	pipe := l.rdb.Pipeline()
	var found []*redis.StringSliceCmd
	for _, begin := range begins {
		found = append(found, pipe.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: prefix(account) + "find", ByLex: true, Start: "[" + begin, Stop: "(" + begin + "\xff", Count: most,
		}))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("search account %s: %w", account, err)
	}
	var members []string
	for _, f := range found {
		members = append(members, f.Val()...)
	}
	return members, nil
}

func backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
