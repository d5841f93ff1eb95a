package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/ledger"
)

// getVoucher gives a voucher's bytes. The blob store checks them against their SHA-256 as they
// pass; if they turn out to be damaged, the connection is cut, so that no damaged voucher ever
// looks whole.
func (a *API) getVoucher(w http.ResponseWriter, r *http.Request) error {
	u, err := a.cfg.Tasks.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err // the gateway explains it
	}
	a.cfg.Note(r, u)
	if !u.Kept() {
		return &problem.Error{Kind: problem.Gone, Detail: "the voucher is no longer kept"}
	}
	voucher, err := a.cfg.Tasks.Voucher(r.Context(), u)
	if err != nil {
		return storeProblem(err)
	}
	defer voucher.Close()
	// The first bytes come before the headers: of a small voucher that is all, so damage still has
	// an answer.
	buffer := make([]byte, 64<<10)
	n, err := io.ReadFull(voucher, buffer)
	whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !whole {
		return storeProblem(err)
	}
	voucherHeaders(w.Header(), u)
	if r.Method == http.MethodHead {
		return nil
	}
	a.writeVoucher(w, voucher, buffer, n, whole)
	return nil
}

func storeProblem(err error) error {
	if errors.Is(err, blob.ErrMissing) || errors.Is(err, blob.ErrDamaged) || errors.Is(err, ledger.ErrNotKept) {
		return err
	}
	return problem.StoreAway("the blob store cannot be read; try again", fmt.Errorf("read a voucher: %w", err))
}

// voucherHeaders keep a voucher from being anything but a file: what producers enqueue is not ours
// to run or frame. Pictures still show in our own pages, which pay no heed to "attachment".
func voucherHeaders(h http.Header, u ledger.Upload) {
	kind := u.MediaType
	if kind == "" {
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.FormatInt(u.Size, 10))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(u)}))
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cache-Control", "private, no-store")
}

// fileName is made of characters that no file system minds.
func fileName(u ledger.Upload) string {
	_, ending, _ := strings.Cut(u.MediaType, "/")
	return "voucher-" + u.OrderID + "." + ending
}

// writeVoucher sends what is in buffer, and the rest of the voucher.
func (a *API) writeVoucher(w http.ResponseWriter, voucher io.Reader, buffer []byte, n int, whole bool) {
	deadline := http.NewResponseController(w)
	for {
		_ = deadline.SetWriteDeadline(time.Now().Add(a.cfg.WriteTime)) // only real connections have one
		if _, err := w.Write(buffer[:n]); err != nil {
			return // whoever asked has gone
		}
		if whole {
			return
		}
		var err error
		n, err = voucher.Read(buffer)
		whole = errors.Is(err, io.EOF)
		if err != nil && !whole {
			panic(fmt.Errorf("%w: %w", http.ErrAbortHandler, err))
		}
	}
}
