package ledger

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9"
)

// files are the scripts, and what they share.
//
//go:embed *.lua
var files embed.FS

// beginLua stands by itself so that a build of tests can break it: see mutant.go.
//
//go:embed begin.lua
var beginLua string

// scripts are the ledger's Lua, each with what it needs of what it shares in front of it.
type scripts struct {
	open, begin, finish, release, reopen, discard, pass, sweep, recover, remove, hold, kept, stuck, finished, pause, renew *redis.Script
}

func loadScripts() scripts {
	lib, rate, breaker, repair := statements(lua("lib")), statements(lua("rate")), statements(lua("breaker")), statements(lua("repair"))
	script := func(own string, shared ...[]string) *redis.Script {
		return redis.NewScript(link(own, append([][]string{lib}, shared...)...))
	}
	load := func(name string, shared ...[]string) *redis.Script { return script(lua(name), shared...) }
	return scripts{
		open: load("open"), begin: script(beginLua, rate), finish: load("finish", breaker), release: load("release", breaker),
		reopen: load("reopen"), discard: load("discard"), pass: load("pass", repair), sweep: load("sweep", repair),
		recover: load("recover", repair), remove: load("remove"), hold: load("hold"), kept: load("kept"), stuck: load("stuck"),
		finished: load("finished"), pause: load("pause"), renew: load("renew"),
	}
}

// lua gives the text of a file.
func lua(name string) string {
	text, err := files.ReadFile(name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

// statements cuts Lua that others share into its statements, all of which begin with "local", without
// their comments.
func statements(text string) (cut []string) {
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "--"):
		case strings.HasPrefix(line, "local "):
			cut = append(cut, line)
		case len(cut) > 0:
			cut[len(cut)-1] += line
		}
	}
	return cut
}

// link puts in front of a script what it needs of what it shares: Redis runs all of it with each
// call, and a function that is made and not used costs as much as a fifth of a command.
func link(own string, shared ...[]string) string {
	used := map[string]bool{}
	use := func(text string) {
		for _, w := range words(text) {
			used[w] = true
		}
	}
	use(own)
	for _, s := range slices.Backward(slices.Concat(shared...)) {
		declared, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(s, "local "), "function "), "(")
		declared, _, _ = strings.Cut(declared, "=")
		if slices.ContainsFunc(words(declared), func(w string) bool { return used[w] }) {
			use(s)
			own = s + own
		}
	}
	return own
}

// words gives the words of Lua, names among them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
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
