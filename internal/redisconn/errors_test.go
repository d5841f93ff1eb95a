package redisconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/test/proxy"
	"github.com/voucherd/voucherd/test/redistest"
)

// TestErrorsInWords meets what can be wrong with a Redis, and reads what is said about it.
func TestErrorsInWords(t *testing.T) {
	t.Parallel()
	dead, stuck := redistest.Start(t, redistest.Options{}), redistest.Start(t, redistest.Options{})
	dead.Kill()
	stuck.Pause()
	t.Cleanup(stuck.Resume)
	locked := redistest.Start(t, redistest.Options{Password: "open-sesame"})
	replica := redistest.Start(t, redistest.Options{Args: []string{"--replicaof", "127.0.0.1", "1"}})
	full := redistest.Start(t, redistest.Options{MaxMemory: "1kb"})
	guarded := redistest.Start(t, redistest.Options{})
	if err := guarded.Client().ACLSetUser(t.Context(), "reader", "on", ">pass", "~*", "+@read", "+@connection").Err(); err != nil {
		t.Fatal(err)
	}
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	cut, err := proxy.Listen(t.Context(), full.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cut.Close() })
	cut.Set(proxy.Fault{CutDown: 10}) // within a text
	const away, refuses = "could not be reached: ", "refuses to work: "
	for _, tc := range []struct{ name, url, addr, says string }{
		{"dead", dead.URL(), dead.Addr, away + "connection refused"},
		{"stuck", stuck.URL(), stuck.Addr, away + "no answer in time"},
		{"nobody", "redis://no-such-host.invalid:1", "no-such-host.invalid:1", away + "there is no host of this name"},
		{"no socket", "unix:///none/redis.sock", "/none/redis.sock", away + "there is no such socket"},
		{"cut within a reply", "redis://" + cut.Addr, cut.Addr, away + "it cut the connection"},
		{"untrusted", "rediss://" + stranger.Listener.Addr().String(), stranger.Listener.Addr().String(), away + "x509: certificate signed by unknown authority"},
		{"replica", replica.URL(), replica.Addr, away + "it is a replica and takes no writes"},
		{"wrong password", "redis://:wrong-word@" + locked.Addr, locked.Addr, refuses + "user or password is wrong"},
		{"no password", "redis://" + locked.Addr, locked.Addr, refuses + "it wants a password, and none is given"},
		{"no permission", "redis://reader:pass@" + guarded.Addr, guarded.Addr, refuses + "its user lacks a permission"},
		{"full", full.URL(), full.Addr, refuses + "its memory is full"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rdb, err := redisconn.Open(tc.url, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rdb.Close() }()
			err = fmt.Errorf("note it: %w", rdb.Set(t.Context(), "key", "value", 0).Err())
			got := redisconn.Explain(rdb, err)
			if !strings.HasPrefix(got.Error(), "redis at "+tc.addr+" "+tc.says) || !errors.Is(got, err) {
				t.Errorf("%q became %q", err, got)
			}
			if regexp.MustCompile(`wrong-word|sesame|dial |[A-Z]{4}`).MatchString(got.Error()) {
				t.Errorf("raw text in %q", got)
			}
			if again := redisconn.Explain(rdb, fmt.Errorf("twice: %w", got)); !errors.Is(again, got) || again.Error() != "twice: "+got.Error() {
				t.Errorf("explained twice: %q", again)
			}
		})
	}
}

// TestErrorsOfOthersStay leaves alone what is not Redis' fault.
func TestErrorsOfOthersStay(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	if err := redisconn.Explain(rdb, nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
	for _, err := range []error{
		errors.New("something else"), redis.Nil, context.Canceled,
		&fs.PathError{Op: "write", Path: "/store/x", Err: syscall.ENOSPC},
		rdb.Do(t.Context(), "no-such-command").Err(),
	} {
		if got := redisconn.Explain(rdb, err); !errors.Is(err, got) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
