package crash_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/process"
)

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// promisedAs notes that the program accepted a voucher, which has the id that comes of its bytes.
func (r *run) promisedAs(order string, n, size int) {
	content := voucher(order, n, size)
	sum := sha256.Sum256(content)
	r.promised(ledger.UploadID(r.account, "", order, hex.EncodeToString(sum[:])), order, n, content)
}

// discarded enqueues a voucher and gives up on it: nothing of it is to stay in the store.
func (r *run) discarded(order string) {
	r.Helper()
	u, err := r.open().Tasks.Enqueue(r.Context(), tasks.Request{
		Account: r.account, OrderID: order, Voucher: strings.NewReader(string(voucher(order, 0, small))),
	})
	r.must(err)
	_, err = r.open().Tasks.Discard(r.Context(), u.ID, ledger.Who{By: "person"})
	r.must(err)
}

func blobMeta(account string) blob.Meta { return blob.Meta{Account: account, OrderID: "4006"} }

// freeAddr gives an address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := process.FreeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// relay is the way to a Redis, closed until it is opened: then nobody listens there.
type relay struct {
	addr, to string
	once     sync.Once
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	return &relay{addr: freeAddr(t), to: to}
}

func (r *relay) open(t *testing.T) {
	t.Helper()
	r.once.Do(func() { r.listen(t) })
}

func (r *relay) listen(t *testing.T) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(in)
		}
	}()
}

// pass passes on what either side says, until both are done.
func (r *relay) pass(in net.Conn) {
	out, err := net.Dial("tcp", r.to) //nolint:noctx // loopback
	if err != nil {
		_ = in.Close()
		return
	}
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() { _, _ = io.Copy(way[0], way[1]); done <- struct{}{} }()
	}
	<-done
	_, _ = in.Close(), out.Close()
	<-done
}
