package blob_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/test/s3test"
)

func TestS3Retire(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	gone, kept, dead := put(t, s, "one", voucher(10)), put(t, s, "one", voucher(20)), put(t, s, "one", voucher(30))
	put(t, s, "one", voucher(40)) // stays unclaimed
	for _, e := range []blob.Entry{gone, kept, dead} {
		mustClaim(t, s, e)
	}
	if err := s.Note(t.Context(), dead.Key, blob.Note{State: "rejected"}); err != nil {
		t.Fatal(err)
	}
	result := json.RawMessage(`{"requestId":"r"}`)
	for range 2 { // as often as one likes
		if err := s.Retire(t.Context(), blob.Retired{Key: gone.Key, Result: result}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Open(t.Context(), gone); !errors.Is(err, blob.ErrMissing) {
		t.Errorf("open what was retired: %v", err)
	}
	for key, want := range map[string]string{gone.Key: "delivered", kept.Key: "", dead.Key: "rejected"} {
		if n, err := s.Noted(t.Context(), key); err != nil || n.State != want {
			t.Errorf("noted of %s: %+v, %v, want %q", key, n, err, want)
		}
	}
	stored, errs := all(t, s)
	if len(stored) != 3 || len(errs) != 0 {
		t.Errorf("all: %+v, %v", stored, errs)
	}
	if got := stored[gone.Key]; got.State != "delivered" || got.OrderID != "1000" || string(got.Result) != string(result) {
		t.Errorf("delivered: %+v", got)
	}
	if got := stored[kept.Key]; got.State != "" || got.Entry != kept || time.Since(got.PutAt).Abs() > time.Minute {
		t.Errorf("kept: %+v", got)
	}
	if got := stored[dead.Key]; got.State != "rejected" {
		t.Errorf("dead: %+v", got)
	}
	forgetRetired(t, s, server, gone)
}

func forgetRetired(t *testing.T, s *blob.S3, server *s3test.Server, gone blob.Entry) {
	t.Helper()
	if err := s.ForgetRetired(t.Context(), "one", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Noted(t.Context(), gone.Key); err != nil {
		t.Errorf("a fresh note: %v", err)
	}
	hours, err := filepath.Glob(filepath.Join(server.Dir, "pre/fix/one/delivered/*"))
	if err != nil || len(hours) != 1 {
		t.Fatalf("hours %q, %v", hours, err)
	}
	old := filepath.Join(filepath.Dir(hours[0]), time.Now().UTC().Add(-5*time.Hour).Format("2006010215"))
	if err = os.Rename(hours[0], old); err != nil {
		t.Fatal(err)
	}
	if err = s.ForgetRetired(t.Context(), "one", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Noted(t.Context(), gone.Key); !errors.Is(err, blob.ErrMissing) {
		t.Errorf("an old note: %v", err)
	}
}

// What a crash leaves of Retire and Delete is told as a leftover, and can be deleted.
func TestS3Leftovers(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	retired, discarded := put(t, s, "one", voucher(10)), put(t, s, "one", voucher(20))
	for _, e := range []blob.Entry{retired, discarded} {
		mustClaim(t, s, e)
		if err := s.Note(t.Context(), e.Key, blob.Note{State: "rejected"}); err != nil {
			t.Fatal(err)
		}
	}
	server.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("delete") {
			s3test.Refuse(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	})
	if err := s.Retire(t.Context(), blob.Retired{Key: retired.Key}); err == nil || !strings.Contains(err.Error(), "access denied") {
		t.Fatalf("retire: %v", err)
	}
	server.Fault(nil)
	if err := os.Remove(filepath.Join(server.Dir, "pre/fix/one/vouchers", discarded.Key)); err != nil {
		t.Fatal(err)
	}
	leftovers := 0
	for v, err := range s.All(t.Context()) {
		switch {
		case errors.Is(err, blob.ErrMissing):
			leftovers++
			if err = s.Delete(t.Context(), v.Key); err != nil {
				t.Error(err)
			}
		case err != nil || v.Key != retired.Key || v.State != "delivered":
			t.Errorf("%+v, %v", v, err)
		}
	}
	if left, errs := all(t, s); leftovers != 2 || len(left) != 1 || len(errs) != 0 {
		t.Errorf("%d leftovers; then %+v, %v", leftovers, left, errs)
	}
}

func TestS3InParts(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	for _, size := range []int{5<<20 - 1, 5 << 20, 11 << 20} {
		want := voucher(size)
		e := put(t, s, "one", want)
		mustClaim(t, s, e)
		if got, err := read(t.Context(), s, e); err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: read %d bytes, %v", size, len(got), err)
		}
	}
	if stored, errs := all(t, s); len(stored) != 3 || len(errs) != 0 {
		t.Errorf("all: %+v, %v", stored, errs)
	}
	cut := io.MultiReader(bytes.NewReader(voucher(11<<20)), errorReader{})
	if _, err := s.Put(t.Context(), blob.Meta{Account: "one"}, cut); !errors.Is(err, errCut) {
		t.Errorf("put: %v", err)
	}
	if left := unclaimed(t, s, "one"); len(left) != 0 {
		t.Errorf("left behind: %+v", left)
	}
	if parts, err := filepath.Glob(filepath.Join(server.Dir, ".sgwtmp/multipart/*/*")); err != nil || len(parts) != 0 {
		t.Errorf("parts left behind: %q, %v", parts, err)
	}
}

var errCut = errors.New("cut off")

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errCut }

// A server that asks to slow down is asked again; one that goes on so is away.
func TestS3SlowDown(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	var asked atomic.Int64
	server.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1)%2 == 1 {
			s3test.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		}
		return false
	})
	e := put(t, s, "one", voucher(1000))
	mustClaim(t, s, e)
	if got, err := read(t.Context(), s, e); err != nil || len(got) != 1000 {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	server.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
		s3test.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	})
	mustBeAwayFromS3(t, s, e)
	if _, err := s.Open(t.Context(), e); err == nil || !strings.Contains(err.Error(), "SlowDown") {
		t.Errorf("open: %v", err)
	}
}

// A server that does not answer keeps a caller no longer than its context.
func TestS3DoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	e := put(t, s, "one", voucher(1000))
	server.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Open(ctx, e)
	mustBeAway(t, "open", err)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open: %v", err)
	}
	mustBeAway(t, "claim", s.Claim(ctx, e.Key))
}

// An answer that ends too soon says nothing about the voucher.
func TestS3CutsOff(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	want := voucher(100_000)
	e := put(t, s, "one", want)
	server.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Content-Length", "100000")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(want[:50_000])
		return true
	})
	_, err := read(t.Context(), s, e)
	mustBeAway(t, "read", err)
}

// Lists that lag behind make no voucher unclaimed that is claimed, and lose none.
func TestS3ListsLag(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	e := put(t, s, "one", voucher(10))
	key := filepath.Join(server.Dir, "pre/fix/one/unclaimed", e.Key)
	mustClaim(t, s, e)
	server.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		list := r.URL.Query().Get("list-type") != ""
		if list { // The list still has what is gone.
			_ = os.MkdirAll(filepath.Dir(key), 0o700)
			_ = os.WriteFile(key, nil, 0o600)
		} else {
			_ = os.Remove(key)
		}
		return false
	})
	if found := unclaimed(t, s, "one"); len(found) != 0 {
		t.Errorf("unclaimed: %+v", found)
	}
	if stored, errs := all(t, s); len(stored) != 1 || len(errs) != 0 {
		t.Errorf("all: %+v, %v", stored, errs)
	}
}

func TestS3IsAway(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := openS3(t, server)
	e := put(t, s, "one", voucher(1000))
	for what, replace := range map[string]func(at string) error{
		"emptied":      func(string) error { return nil },
		"another":      func(at string) error { return writeMarker(at, `{"version":1,"id":"another"}`) },
		"torn marker":  func(at string) error { return writeMarker(at, `{"vers`) },
		"newer marker": func(at string) error { return writeMarker(at, `{"version":99,"id":"x"}`) },
	} {
		at := filepath.Join(server.Dir, "pre/fix")
		if err := errors.Join(os.Rename(at, at+"-away"), replace(at)); err != nil {
			t.Fatal(err)
		}
		_, err := s.Open(t.Context(), e)
		mustBeAway(t, what+": open", err)
		mustBeAway(t, what+": claim", s.Claim(t.Context(), e.Key))
		mustBeAway(t, what+": check", s.Check(t.Context()))
		_, err = s.Unclaimed(t.Context(), "one", 0, 10)
		mustBeAway(t, what+": unclaimed", err)
		_, err = s.Noted(t.Context(), e.Key)
		mustBeAway(t, what+": noted", err)
		for _, err := range s.All(t.Context()) {
			mustBeAway(t, what+": all", err)
		}
		if err := errors.Join(os.RemoveAll(at), os.Rename(at+"-away", at)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := read(t.Context(), s, e); err != nil || len(got) != 1000 {
		t.Errorf("when it is back: %d bytes, %v", len(got), err)
	}
	mustSayWhatToDo(t, server, s, e)
}

func writeMarker(at, text string) error {
	return errors.Join(os.MkdirAll(at, 0o700), write(at, "STORE", text))
}

func mustSayWhatToDo(t *testing.T, server *s3test.Server, s *blob.S3, e blob.Entry) {
	t.Helper()
	for code, want := range map[string]string{
		"NoSuchBucket": "does not exist: make it", "AccessDenied": "AWS_ACCESS_KEY_ID", "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY",
		"RequestTimeTooSkewed": "NTP", "AuthorizationHeaderMalformed": "region=",
	} {
		server.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
			s3test.Refuse(w, map[bool]int{true: http.StatusNotFound, false: http.StatusForbidden}[code == "NoSuchBucket"], code)
			return true
		})
		err := s.Check(t.Context())
		mustBeAway(t, code, err)
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), e.Key) {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
		mustBeAwayFromS3(t, s, e)
	}
}

func mustBeAwayFromS3(t *testing.T, s *blob.S3, e blob.Entry) {
	t.Helper()
	var calls sync.WaitGroup
	for what, call := range map[string]func() error{
		"open": func() error { _, err := s.Open(t.Context(), e); return err },
		"put": func() error {
			_, err := s.Put(t.Context(), blob.Meta{Account: "one"}, strings.NewReader("x"))
			return err
		},
		"unclaimed": func() error { _, err := s.Unclaimed(t.Context(), "one", 0, 10); return err },
		"identity":  func() error { _, err := s.Identity(t.Context()); return err },
		"noted":     func() error { _, err := s.Noted(t.Context(), e.Key); return err },
		"claim":     func() error { return s.Claim(t.Context(), e.Key) },
		"note":      func() error { return s.Note(t.Context(), e.Key, blob.Note{State: "rejected"}) },
		"delete":    func() error { return s.Delete(t.Context(), e.Key) },
		"retire":    func() error { return s.Retire(t.Context(), blob.Retired{Key: e.Key}) },
		"forget":    func() error { return s.ForgetRetired(t.Context(), "one", 0) },
		"check":     func() error { return s.Check(t.Context()) },
	} {
		calls.Go(func() { mustBeAway(t, what, call()) })
	}
	calls.Wait()
}

func TestS3OneMarkerForAllWhoStartAtOnce(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	var starts sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		starts.Go(func() {
			s, err := blob.OpenS3(t.Context(), server.Setting(""))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			if ids[i], err = s.Identity(t.Context()); err != nil || ids[i] == "" {
				t.Errorf("identity %q, %v", ids[i], err)
			}
		})
	}
	starts.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("identities %q", ids)
		}
	}
	if err := write(filepath.Join(server.Dir), "holiday.jpg", "x"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(server.Dir, "STORE")); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.OpenS3(t.Context(), server.Setting("")); err == nil || !strings.Contains(err.Error(), "right prefix?") {
		t.Errorf("a bucket of somebody else's: %v", err)
	}
}

// TestNotedOfADamagedVoucher has a voucher lose its metadata: each store says so, and S3, where the
// note lies beside it, gives that all the same.
func TestNotedOfADamagedVoucher(t *testing.T) {
	t.Parallel()
	server, dir := s3test.Start(t), t.TempDir()
	for name, c := range map[string]struct {
		store blob.Store
		file  func(key string) string
		want  string
	}{
		"directory": {openDir(t, dir), func(key string) string { return filesOf(dir, "one", key).claimed }, ""},
		"S3":        {openS3(t, server), func(key string) string { return filepath.Join(server.Dir, "pre/fix/one/vouchers", key) }, "rejected"},
	} {
		e := put(t, c.store, "one", voucher(10))
		mustClaim(t, c.store, e)
		err := errors.Join(c.store.Note(t.Context(), e.Key, blob.Note{State: "rejected"}), os.Truncate(c.file(e.Key), 5))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.store.Noted(t.Context(), e.Key); !errors.Is(err, blob.ErrDamaged) || n.State != c.want {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
}
