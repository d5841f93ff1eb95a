//go:build crashpoints

package crashpoint

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Watch makes steps of all commands that this client sends and that write. Scripts gives the names
// of scripts by their SHA-1; others are named by their keys.
func Watch(rdb redis.UniversalClient, scripts map[string]string) { rdb.AddHook(hook{scripts}) }

type hook struct{ scripts map[string]string }

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		name := h.name(cmd)
		if name == "" {
			return next(ctx, cmd)
		}
		return Do(name, func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook sends a part of the pipeline and dies, where the point is in the midst of it:
// Redis carries out what it got. A transaction is one step.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "multi" {
			return Do("redis: MULTI "+strings.TrimPrefix(h.name(cmds[1]), "redis: "), func() error { return next(ctx, cmds) })
		}
		s := state()
		for i, cmd := range cmds {
			sent := -1
			switch name := h.name(cmd); {
			case name == "":
			case s.due("before", name):
				sent = i
			case s.due("after", name):
				sent = i + 1
			}
			if sent > 0 {
				_ = next(ctx, cmds[:sent])
			}
			if sent >= 0 {
				die()
			}
		}
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if name := h.name(cmd); name != "" && (cmd.Err() == nil || errors.Is(cmd.Err(), redis.Nil)) {
				s.meet(name)
			}
		}
		return err
	}
}

// name is that of a command's step; "" for one that only reads.
func (h hook) name(cmd redis.Cmder) string {
	args := cmd.Args()
	sha := ""
	switch cmd.Name() {
	case "evalsha":
		sha = fmt.Sprint(args[1])
	case "eval":
		sum := sha1.Sum([]byte(fmt.Sprint(args[1])))
		sha = hex.EncodeToString(sum[:])
	default:
		if slices.Contains(reads(), cmd.Name()) {
			return ""
		}
		name := "redis: " + strings.ToUpper(cmd.Name())
		if len(args) > 1 {
			name += " " + keyName(fmt.Sprint(args[1]))
		}
		return name
	}
	if name := h.scripts[sha]; name != "" {
		return "redis: " + name + ".lua"
	}
	n, _ := strconv.Atoi(fmt.Sprint(args[2]))
	var keys []string
	for _, key := range args[3 : 3+n] {
		if name := keyName(fmt.Sprint(key)); !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	return "redis: script on " + strings.Join(keys, ", ")
}

func reads() []string {
	return []string{
		"hello", "select", "get", "mget", "exists", "hget", "hmget", "hgetall", "hlen", "hexists", "llen", "lrange", "lindex", "zcard", "zcount", "zscore", "zrange",
		"zrangebyscore", "zrevrange", "zrevrangebyscore", "zrangebylex", "smembers", "sismember", "scard", "scan", "hscan", "zscan", "type", "ttl",
		"pttl", "info", "time", "ping", "memory", "config", "strlen", "getrange", "command", "cluster",
	}
}

// keyName is a key without what tells accounts, uploads and days apart.
func keyName(key string) string {
	owner, rest, _ := strings.Cut(key, ":")
	if strings.HasPrefix(rest, "{") {
		_, rest, _ = strings.Cut(rest, "}:")
	}
	if owner == "voucherd" && strings.HasPrefix(rest, "webhook") {
		return owner + ":" + rest
	}
	kind, _, _ := strings.Cut(rest, ":")
	return owner + ":" + kind
}
