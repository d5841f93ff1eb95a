// Package s3test gives tests a real S3-compatible server of their own on the loopback interface, and
// a proxy before it that misbehaves on demand.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/process"
)

const (
	program    = "versitygw"
	bucket     = "vouchers"
	startLimit = 30 * time.Second // a busy machine
	keyID      = "testkey"
	secret     = "testsecret"
)

// Server is one S3 server with an empty bucket. Its methods are safe for concurrent use.
type Server struct {
	Dir   string // where the bucket's objects lie as files
	front *httptest.Server
	pool  *http.Transport // of the proxy
	back  *process.Process
	fault atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

// Start runs a server for this test alone, and stops it when the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := Run(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatalf("s3test: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Run runs a server until it is closed, with its files in a directory. Its credentials stand in the
// environment of this process.
func Run(ctx context.Context, dir string) (*Server, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	for name, value := range Env() {
		if err = os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("set a variable: %w", err)
		}
	}
	s := &Server{Dir: filepath.Join(dir, "data", bucket), pool: &http.Transport{MaxIdleConnsPerHost: 64}}
	if err = os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	addr, err := process.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	s.back, err = process.Start(process.Program{
		Name: program, Path: path, Dir: dir,
		Args: []string{"-q", "--port", addr, "--access", keyID, "--secret", secret, "posix", filepath.Join(dir, "data")},
	})
	if err != nil {
		return nil, err
	}
	back := &url.URL{Scheme: "http", Host: addr}
	if err = process.Until(ctx, startLimit, "the S3 server answers", func() bool { return answers(ctx, back) }); err != nil {
		s.back.Kill()
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Transport: s.pool,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(back); r.Out.Host = r.In.Host }, // the host is signed
	}
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.fault.Load(); f == nil || !(*f)(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	return s, nil
}

// Close stops the server.
func (s *Server) Close() {
	s.front.Close()
	s.pool.CloseIdleConnections()
	s.back.Kill()
}

// Env are the variables with the server's credentials.
func Env() map[string]string {
	return map[string]string{"AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": secret}
}

// find looks in PATH, and where make installs tools.
func find() (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".tools", program)
		if _, statErr := os.Stat(path); statErr == nil {
			return path, nil
		}
	}
	return "", errors.New("the S3 server " + program + " is not there: `make .tools/" + program + "` builds it")
}

func answers(ctx context.Context, at *url.URL) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}

// Setting names a blob store in the server's bucket, below a prefix.
func (s *Server) Setting(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=us-east-1", bucket, prefix, url.QueryEscape(s.front.URL))
}

// Fault has every request go through f first, which says whether it has answered; nil: none.
func (s *Server) Fault(f func(http.ResponseWriter, *http.Request) bool) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// Refuse answers as an S3 server does that does not do what it is asked to.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code) // the client may be gone
}
