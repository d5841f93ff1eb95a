package examples_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

const examples = "../../docs/examples/"

// example is a program of docs/examples.
type example struct {
	name    string
	runtime string
	check   []string // arguments with which the runtime says that it has what the program needs
	command []string // what follows the runtime

	java bool // it is Java, compiled once
}

func all() []example {
	return []example{
		{
			name: "curl", runtime: "bash", check: []string{"-c", "curl --version && jq --version && openssl version"},
			command: []string{examples + "voucherd.sh"},
		},
		{name: "php", runtime: "php", check: []string{"-r", `exit(extension_loaded("curl") ? 0 : 1);`}, command: []string{examples + "voucherd.php"}},
		{name: "node", runtime: "node", command: []string{examples + "voucherd.mjs"}},
		{name: "python", runtime: "python3", command: []string{examples + "voucherd.py"}},
		{name: "java", runtime: "java", java: true},
	}
}

// front stands before the gateway, and may spoil its answers.
type front func(*stage, http.ResponseWriter, *http.Request)

// each runs a test for every example whose runtime is installed; run starts it with arguments.
func each(t *testing.T, before func() front, test func(s *stage, run func(args ...string) said)) {
	t.Helper()
	for _, e := range all() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			runtime := need(t, e.runtime, e.check...)
			if e.java {
				need(t, "javac")
				classes, err := compiled()
				if err != nil {
					t.Fatal(err)
				}
				e.command = append(quick(""), "-cp", classes, "Voucherd")
			}
			s := setup(t, before())
			test(s, func(args ...string) said {
				s.t.Helper()
				return s.run("", append(append([]string{runtime}, e.command...), args...)...)
			})
		})
	}
}

// compiled gives the directory of the Java program's classes: to compile its source in each run takes
// long.
var compiled = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // once for all tests
	dir, err := os.MkdirTemp("", "voucherd-java-")
	if err != nil {
		return "", err
	}
	classes = dir
	out, err := exec.Command("javac", append(quick("-J"), "-d", dir, examples+"Voucherd.java")...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("javac: %w\n%s", err, out)
	}
	return dir, err
})

var classes string //nolint:gochecknoglobals // TestMain removes what it names

// quick are the options of a Java machine that does not live long.
func quick(before string) []string {
	return []string{before + "-XX:TieredStopAtLevel=1", before + "-XX:+UseSerialGC"}
}

// plain spoils nothing.
func plain() front { return nil }

// unread is an answer that nobody gets.
type unread struct{ http.ResponseWriter }

func (unread) Header() http.Header           { return http.Header{} }
func (unread) WriteHeader(int)               {}
func (unread) Write(p []byte) (int, error)   { return len(p), nil }
func (u unread) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// rough refuses the first two calls that enqueue, and loses its answer to the third. The fourth is
// answered. Once the upload has been asked for, it ends as delivered.
func rough() front {
	var posts, gets atomic.Int32
	return func(s *stage, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			s.gateway.ServeHTTP(w, r)
			if id, ok := strings.CutPrefix(r.URL.Path, "/v1/uploads/"); ok && gets.Add(1) == 1 {
				if err := s.deliver(id); err != nil {
					s.t.Errorf("deliver: %v", err)
				}
			}
			return
		}
		switch posts.Add(1) {
		case 1:
			http.Error(w, "a proxy says that nobody is there", http.StatusServiceUnavailable)
		case 2:
			http.Error(w, "no room", http.StatusInsufficientStorage)
		case 3:
			s.gateway.ServeHTTP(unread{w}, r)
			panic(http.ErrAbortHandler)
		case 4:
			s.gateway.ServeHTTP(w, r)
		default:
			s.t.Errorf("enqueued %d times", posts.Load())
		}
	}
}

// A voucher is enqueued once, however often its program has to try, and its end is seen.
func TestEnqueue(t *testing.T) {
	t.Parallel()
	each(t, rough, func(s *stage, run func(...string) said) {
		voucher := picture(s.t, "image/png")
		got := run("upload", "--wait", s.file("payé; 支付,1.png", voucher), order, "invoice 2041; 支付")
		u := s.only(voucher, "invoice 2041; 支付")
		if got.code != 0 || got.out != u.ID+"\ndelivered\n" {
			s.t.Fatalf("exit code %d, printed %q and %q; the upload is %s", got.code, got.out, got.err, u.ID)
		}
		if u.MediaType != "image/png" || u.State != ledger.Delivered {
			s.t.Fatalf("in the ledger stands %+v", u)
		}
	})
}

// Without --wait the id is all. With it, the end of an upload that was not delivered is told by the
// exit code.
func TestUndelivered(t *testing.T) {
	t.Parallel()
	each(t, plain, func(s *stage, run func(...string) said) {
		voucher := picture(s.t, "image/jpeg")
		path := s.file("receipt.jpg", voucher)
		got := run("upload", path, order)
		u := s.only(voucher, "")
		if got.code != 0 || got.out != u.ID+"\n" || u.State != ledger.Queued {
			s.t.Fatalf("exit code %d, printed %q and %q; the upload is %s, %s", got.code, got.out, got.err, u.ID, u.State)
		}
		_, err := s.tasks.Discard(s.ctx, u.ID, ledger.Who{})
		must(s.t, err)
		got = run("upload", "--wait", path, order)
		if s.only(voucher, ""); got.code != 4 || got.out != u.ID+"\ndiscarded\n" {
			s.t.Fatalf("exit code %d, printed %q and %q, want %s as discarded", got.code, got.out, got.err, u.ID)
		}
	})
}

// A refusal is told in voucherd's words, at once.
func TestRefusal(t *testing.T) {
	t.Parallel()
	once := func() front {
		var calls atomic.Int32
		return func(s *stage, w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) > 1 {
				s.t.Error("called again after a refusal")
			}
			s.gateway.ServeHTTP(w, r)
		}
	}
	each(t, once, func(s *stage, run func(...string) said) {
		got := run("upload", s.file("receipt.png", []byte("#!/bin/sh\nexit 0\n")), order)
		if got.code == 0 || got.out != "" {
			s.t.Fatalf("exit code %d, printed %q", got.code, got.out)
		}
		if !strings.Contains(got.err, "415") || !strings.Contains(got.err, "voucher: looks like text/x-shellscript, but only") {
			s.t.Fatalf("said %q, want the problem's detail", got.err)
		}
		if n := len(s.uploads()); n != 0 {
			s.t.Fatalf("%d uploads in the ledger", n)
		}
	})
}
