package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lib.lua
var libLua string

//go:embed breaker.lua
var breakerLua string

//go:embed open.lua
var openLua string

//go:embed rate.lua
var rateLua string

//go:embed begin.lua
var beginLua string

//go:embed finish.lua
var finishLua string

//go:embed release.lua
var releaseLua string

//go:embed reopen.lua
var reopenLua string

//go:embed discard.lua
var discardLua string

//go:embed repair.lua
var repairLua string

//go:embed pass.lua
var passLua string

//go:embed sweep.lua
var sweepLua string

//go:embed recover.lua
var recoverLua string

//go:embed remove.lua
var removeLua string

//go:embed hold.lua
var holdLua string

//go:embed kept.lua
var keptLua string

//go:embed stuck.lua
var stuckLua string

//go:embed finished.lua
var finishedLua string

//go:embed pause.lua
var pauseLua string

//go:embed renew.lua
var renewLua string

// scripts are the ledger's Lua, each with what it shares in front of it.
type scripts struct {
	open, begin, finish, release, reopen, discard, pass, sweep, recover, remove, hold, kept, stuck, finished, pause, renew *redis.Script
}

func loadScripts() scripts {
	load := func(parts ...string) *redis.Script {
		return redis.NewScript(libLua + "\n" + strings.Join(parts, "\n"))
	}
	return scripts{
		open: load(openLua), begin: load(rateLua, beginLua), finish: load(breakerLua, finishLua), release: load(breakerLua, releaseLua),
		reopen: load(reopenLua), discard: load(discardLua), pass: load(repairLua, passLua), sweep: load(repairLua, sweepLua),
		recover: load(repairLua, recoverLua), remove: load(removeLua), hold: load(holdLua), kept: load(keptLua), stuck: load(stuckLua),
		finished: load(finishedLua), pause: load(pauseLua), renew: load(renewLua),
	}
}

// errReply means that a script answered in a form this version does not know.
var errReply = errors.New("unexpected reply of a ledger script")

// run calls a script on an account and reads its reply, which is always a list.
func (l *Ledger) run(ctx context.Context, s *redis.Script, account string, args ...any) (reply, error) {
	v, err := s.Run(ctx, l.rdb, []string{prefix(account)}, args...).Result()
	if errorReply(err) {
		return nil, fmt.Errorf("%w: %w", ErrScript, err)
	}
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case []any:
		return v, nil
	case int64:
		return reply{v}, nil
	default:
		return nil, fmt.Errorf("%w: %T", errReply, v)
	}
}

// errorReply says whether Redis answered with an error that it would answer again: not that it is
// full, loads, stands by or fails over, which all have prefixes of their own.
func errorReply(err error) bool {
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return false
	}
	text := said.Error()
	return strings.HasPrefix(text, "WRONGTYPE ") ||
		strings.HasPrefix(text, "ERR ") && !strings.HasPrefix(text, "ERR max number of clients")
}

// reply is what a script gave back. Fields that are missing read as zero.
type reply []any

func (r reply) text(i int) string {
	if i >= len(r) {
		return ""
	}
	switch v := r[i].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		return ""
	}
}

// texts gives a list of texts.
func (r reply) texts(i int) []string {
	if i >= len(r) {
		return nil
	}
	list, ok := r[i].([]any)
	if !ok {
		return nil
	}
	texts := make([]string, len(list))
	for j := range list {
		texts[j] = reply(list).text(j)
	}
	return texts
}

func (r reply) num(i int) int64 {
	if i >= len(r) {
		return 0
	}
	switch v := r[i].(type) {
	case int64:
		return v
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0
		}
		return n
	default:
		return 0
	}
}
