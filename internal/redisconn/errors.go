package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// UnreachableError says that Redis could not be reached, or does not serve for now: trying again
// may help.
type UnreachableError struct {
	Addr string // without password
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("redis at %s could not be reached: %s", e.Addr, inWords(e.Err))
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// RefusedError says that Redis answers and refuses to work until a person changes something.
type RefusedError struct {
	Addr string // without password
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("redis at %s refuses to work: %s", e.Addr, inWords(e.Err))
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Explain makes an error that comes of Redis itself, and not of what was asked, an
// *UnreachableError or a *RefusedError in words for people. It leaves all others alone, and those
// that were explained already.
func Explain(rdb redis.UniversalClient, err error) error {
	_, unreachable := errors.AsType[*UnreachableError](err)
	_, refused := errors.AsType[*RefusedError](err)
	if err == nil || unreachable || refused {
		return err
	}
	if r, ok := replyOf(err); ok && r.refuses {
		return &RefusedError{Addr: address(rdb), Err: err}
	} else if ok || away(err) {
		return &UnreachableError{Addr: address(rdb), Err: err}
	}
	return err
}

// Full says whether an error is Redis' answer that it has reached its maxmemory.
func Full(err error) bool {
	r, ok := replyOf(err)
	return ok && r.sign == signFull
}

const signFull = "OOM command not allowed"

// reply is an answer of Redis that concerns all commands.
type reply struct {
	sign, words string
	refuses     bool // until a person changes something
}

func replies() []reply {
	return []reply{
		{signFull, "its memory is full: let the backlog drain, or raise maxmemory", true},
		{"WRONGPASS ", "user or password is wrong", true},
		{"NOAUTH ", "it wants a password, and none is given", true},
		{"without any password configured", "a password is given, and it has none", true},
		{"NOPERM ", "its user lacks a permission", true},
		{"The user executing the script can't", "its user lacks a permission", true}, // of a command in a script; Redis 7.0
		{"MISCONF ", "it cannot write to its disk: see its log", true},
		{"LOADING ", "it is still reading its data", false},
		{"READONLY ", "it is a replica and takes no writes: the address must be the primary's", false},
		{"MASTERDOWN ", "it is a replica and has lost its primary", false},
		{"CLUSTERDOWN ", "its cluster is down", false},
		{"TRYAGAIN ", "its cluster moves the account to another node", false},
		{"NOREPLICAS ", "it has fewer replicas in step than its min-replicas-to-write asks for", false},
		{"max number of clients reached", "it has as many clients as its maxclients allows", false},
	}
}

// replyOf finds such an answer in an error. An answer to a script of Redis 6 has it in the midst.
func replyOf(err error) (reply, bool) {
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return reply{}, false
	}
	if redis.HasErrorPrefix(err, "MOVED ") || redis.HasErrorPrefix(err, "ASK ") { // after several tries
		return reply{words: "its cluster moves the account to another node"}, true
	}
	for _, r := range replies() {
		if strings.Contains(said.Error(), r.sign) {
			return r, true
		}
	}
	return reply{}, false
}

// away says whether an error is one of reaching Redis at all.
func away(err error) bool {
	// A full or unreadable disk of ours is no Redis, though its cause passes for a net.Error.
	if _, file := errors.AsType[*fs.PathError](err); file {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	text := err.Error()
	unformed := strings.Contains(text, noNodes) || errors.Is(err, redis.Nil) && strings.Contains(text, noMaster)
	return network || untrusted || unformed || errors.Is(err, io.EOF) || errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout)
}

// What go-redis says when no sentinel names a master, and when no node of a cluster has a slot.
const (
	noMaster = "redis: all sentinels"
	noNodes  = "redis: cluster has no nodes"
)

// inWords says why Redis did not do what it was asked.
func inWords(err error) string {
	if r, ok := replyOf(err); ok {
		return r.words
	}
	name, isName := errors.AsType[*net.DNSError](err)
	network, isNetwork := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, redis.ErrPoolTimeout):
		return "no connection became free in time"
	case strings.Contains(err.Error(), noNodes):
		return "its nodes do not form a cluster: see `redis-cli --cluster create`"
	case errors.Is(err, redis.Nil):
		return "the sentinels know no master of this name"
	case errors.Is(err, redis.ErrClosed):
		return "its client is closed"
	case isName && name.IsNotFound:
		return "there is no host of this name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket"
	case errors.Is(err, context.DeadlineExceeded), isNetwork && network.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it cut the connection"
	default:
		return innermost(err).Error()
	}
}

// innermost is what an error began with.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// address names the Redis of a client, without user and password.
func address(rdb redis.UniversalClient) string {
	switch r := rdb.(type) {
	case *redis.Client:
		return r.Options().Addr
	case *redis.ClusterClient:
		return strings.Join(r.Options().Addrs, ",")
	default:
		return "its address"
	}
}
