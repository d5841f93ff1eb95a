package tasks

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/internal/crashpoint"
	"github.com/voucherd/voucherd/ledger"
)

// spool is a local directory in which vouchers wait while Redis is away. What lies there was
// promised to its producer. While anything does, whatever comes later goes there too, so that the
// vouchers of an order stay in the order of their arrival. Several processes may share a directory:
// one at a time enqueues what lies there.
//
//	waiting/<time>-<id>  a voucher with its request: a line of JSON, and the bytes
//	partial/             what is being written; what a crash leaves is removed at the next start
//	refused/             what could not be enqueued, and never can: for a person to look at
//	lock                 locked by the process that enqueues
//
// The time is that of arrival, in nanoseconds, by this host's clock. The id, which the upload will
// have, comes of the bytes, and so also tells whether they are whole.
type spool struct {
	dir  string
	most int64 // bytes

	mu   sync.Mutex // held while a voucher is given its name
	last int64      // time in the last name
	used atomic.Int64
}

const (
	spoolWaiting = "waiting"
	spoolPartial = "partial"
	spoolRefused = "refused"
	spoolLock    = "lock"
)

// spooledRequest is what a Request says beside its voucher.
type spooledRequest struct {
	Account   string `json:"account"`
	OrderID   string `json:"orderId"`
	UserID    string `json:"userId,omitempty"`
	Reference string `json:"reference,omitempty"`
	Again     bool   `json:"again,omitempty"`
	Replace   bool   `json:"replace,omitempty"`
	By        string `json:"by,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// SpoolStatus tells what waits in the spool.
type SpoolStatus struct {
	Vouchers int         `json:"vouchers"`
	Bytes    int64       `json:"bytes"`
	Oldest   ledger.Time `json:"oldestAt,omitzero"` // when the oldest arrived
	Refused  int         `json:"refused"`           // that a person has to look at
	Full     bool        `json:"-"`                 // no further voucher is taken
}

// ErrSpoolFull means that Redis is away and the spool has no room for a voucher.
var ErrSpoolFull = errors.New("redis cannot be reached, and the spool is full")

func openSpool(dir string, most int64) (*spool, error) {
	if err := makeSpoolDirs(dir); err != nil {
		return nil, fmt.Errorf("spool directory: %w", err)
	}
	s := &spool{dir: dir, most: most}
	if err := s.removePartial(); err != nil {
		return nil, fmt.Errorf("spool directory: %w", err)
	}
	_, err := s.status()
	return s, err
}

// makeSpoolDirs makes the directories that are not there, and those above them, durably.
func makeSpoolDirs(dir string) error {
	var changed []string
	for at := filepath.Join(dir, spoolRefused); at != filepath.Dir(at); at = filepath.Dir(at) { // made last
		if _, err := os.Stat(at); err == nil {
			break
		}
		changed = append(changed, filepath.Dir(at))
	}
	for _, d := range []string{spoolWaiting, spoolPartial, spoolRefused} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	for _, d := range changed {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// partialMost is how long writing a voucher can take.
const partialMost = time.Hour

func (s *spool) removePartial() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, spoolPartial))
	for _, e := range entries {
		info, gone := e.Info()
		if gone == nil && time.Since(info.ModTime()) > partialMost {
			_ = os.Remove(filepath.Join(s.dir, spoolPartial, e.Name())) // the next start tries again
		}
	}
	return err
}

// pending says whether anything waits. An error counts as nothing: what follows meets it too.
func (s *spool) pending() bool {
	d, err := os.Open(filepath.Join(s.dir, spoolWaiting))
	if err != nil {
		return false
	}
	defer func() { _ = d.Close() }()
	names, _ := d.Readdirnames(1) // none, or an error
	return len(names) > 0
}

// waiting gives the names of what waits, oldest first.
func (s *spool) waiting() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, spoolWaiting)) // by name, so by time
	if err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// keep stores a voucher. When it returns without an error, name and bytes are on the disk.
func (s *spool) keep(r Request, voucher io.Reader) (u ledger.Upload, err error) {
	if s.full() {
		return u, ErrSpoolFull
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, spoolPartial), "")
	if err != nil {
		return u, fmt.Errorf("spool the voucher: %w", err)
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name()) // the next start removes it
		}
	}()
	head, err := json.Marshal(spooledRequest{
		Account: r.Account, OrderID: r.OrderID, UserID: r.UserID, Reference: r.Reference, Again: r.Again, Replace: r.Replace,
		By: r.Who.By, Reason: r.Who.Reason,
	})
	if err != nil {
		return u, fmt.Errorf("spool the voucher: %w", err)
	}
	if _, err = f.Write(append(head, '\n')); err != nil {
		return u, fmt.Errorf("spool the voucher: %w", err)
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, sum), voucher)
	if err == nil {
		err = crashpoint.Do("spool: sync the voucher", f.Sync)
	}
	if err != nil {
		return u, fmt.Errorf("spool the voucher: %w", err)
	}
	u = ledger.Upload{
		Account: r.Account, OrderID: r.OrderID, UserID: r.UserID, Reference: r.Reference, State: ledger.Queued, Generation: 1,
		SHA256: hex.EncodeToString(sum.Sum(nil)), Size: size, Spooled: true,
	}
	u.ID = ledger.UploadID(u.Account, u.UserID, u.OrderID, u.SHA256)
	at, err := s.name(f.Name(), u.ID)
	if err != nil {
		return ledger.Upload{}, fmt.Errorf("spool the voucher: %w", err)
	}
	u.CreatedAt = ledger.Time{Time: at}
	u.UpdatedAt, u.Since = u.CreatedAt, u.CreatedAt
	s.used.Add(size)
	return u, nil
}

func (s *spool) full() bool { return s.used.Load() >= s.most }

// name gives what was written its name, durably.
func (s *spool) name(partial, id string) (time.Time, error) {
	s.mu.Lock()
	s.last = max(s.last+1, time.Now().UnixNano())
	at := s.last
	err := crashpoint.Do("spool: name the voucher", func() error {
		return os.Rename(partial, filepath.Join(s.dir, spoolWaiting, spoolName(time.Unix(0, at), id)))
	})
	s.mu.Unlock()
	if err == nil {
		err = crashpoint.Do("spool: sync the names", func() error { return syncDir(filepath.Join(s.dir, spoolWaiting)) })
	}
	return time.Unix(0, at).UTC(), err
}

// spoolName is the name of the file of a voucher that arrived at a time.
func spoolName(at time.Time, id string) string { return fmt.Sprintf("%020d-%s", at.UnixNano(), id) }

func syncDir(path string) error {
	d, err := os.Open(path) //nolint:gosec // a directory of the spool
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *spool) status() (SpoolStatus, error) {
	names, err := s.waiting()
	if err != nil {
		return SpoolStatus{}, err
	}
	st := SpoolStatus{Vouchers: len(names)}
	for i, name := range names {
		if info, gone := os.Stat(filepath.Join(s.dir, spoolWaiting, name)); gone == nil { // else it was enqueued meanwhile
			st.Bytes += info.Size()
		}
		if nanos, _, _ := strings.Cut(name, "-"); i == 0 {
			n, _ := strconv.ParseInt(nanos, 10, 64) // 0: somebody else's file, which is refused
			st.Oldest = ledger.Time{Time: time.Unix(0, n)}
		}
	}
	s.used.Store(st.Bytes)
	st.Full = s.full()
	refused, err := os.ReadDir(filepath.Join(s.dir, spoolRefused))
	st.Refused = len(refused)
	return st, err
}

var errSpoolDamaged = errors.New("a file of the spool is not what was written")

// open gives a voucher's request, whose Voucher is the file behind the request's line.
func (s *spool) open(name string) (*os.File, Request, error) {
	f, err := os.Open(filepath.Join(s.dir, spoolWaiting, name)) //nolint:gosec // a file of the spool
	if err != nil {
		return nil, Request{}, err
	}
	var r spooledRequest
	head, err := bufio.NewReader(f).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(head, &r)
	}
	if err == nil {
		_, err = f.Seek(int64(len(head)), io.SeekStart)
	}
	if err != nil {
		return nil, Request{}, errors.Join(fmt.Errorf("%w: %w", errSpoolDamaged, err), f.Close())
	}
	return f, Request{
		Account: r.Account, OrderID: r.OrderID, UserID: r.UserID, Reference: r.Reference, Again: r.Again, Replace: r.Replace,
		Who: ledger.Who{By: r.By, Reason: r.Reason}, Voucher: f,
		token: name, // so that it is the same call when it was enqueued, and is still there
	}, nil
}

// whole reads a voucher, and makes sure that it is as it was written.
func (s *spool) whole(name string) (Request, error) {
	f, r, err := s.open(name)
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	voucher, err := io.ReadAll(f)
	if err != nil {
		return r, fmt.Errorf("read the spool: %w", err)
	}
	sum := sha256.Sum256(voucher)
	if _, id, _ := strings.Cut(name, "-"); id != ledger.UploadID(r.Account, r.UserID, r.OrderID, hex.EncodeToString(sum[:])) {
		return r, errSpoolDamaged
	}
	r.Voucher = bytes.NewReader(voucher)
	return r, nil
}

// refuse puts aside what can never be enqueued.
func (s *spool) refuse(name string) error {
	return crashpoint.Do("spool: put aside", func() error {
		return os.Rename(filepath.Join(s.dir, spoolWaiting, name), filepath.Join(s.dir, spoolRefused, name))
	})
}
