package intake

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/voucherd/voucherd/tasks"
)

// spoolMemory is how much of a voucher is held in memory; usual receipts fit. The rest of a larger
// one goes to a file.
const spoolMemory = 256 << 10

// spool holds a voucher until its request has arrived whole. PandaPon's own body has the voucher
// before the order id, and a request can turn out wrong at its last byte; what is spooled has
// reached neither blob store nor ledger then.
type spool struct {
	most   int64
	size   int64
	memory bytes.Buffer
	file   *os.File // nil: all is in memory
}

// Write takes more of the voucher. More than most gives a *tasks.InvalidError.
func (s *spool) Write(p []byte) (int, error) {
	if s.size+int64(len(p)) > s.most {
		return 0, &tasks.InvalidError{
			Field: "voucher", TooLarge: true, Reason: fmt.Sprintf("is larger than %d bytes", s.most),
		}
	}
	s.size += int64(len(p))
	if s.file == nil && s.memory.Len()+len(p) <= spoolMemory {
		return s.memory.Write(p)
	}
	if s.file == nil {
		f, err := spoolFile()
		if err != nil {
			return 0, err
		}
		s.file = f
	}
	n, err := s.file.Write(p)
	if err != nil {
		return n, fmt.Errorf("spool a voucher: %w", err)
	}
	return n, nil
}

// spoolFile makes a file that is gone with the process, however that ends.
func spoolFile() (*os.File, error) {
	f, err := os.CreateTemp("", "voucherd-spool-")
	if err != nil {
		return nil, fmt.Errorf("spool a voucher (TMPDIR names the directory): %w", err)
	}
	_ = os.Remove(f.Name()) // where open files cannot be removed, close does it
	return f, nil
}

// reader gives the voucher from its start, as often as need be. Nothing may be written any more.
func (s *spool) reader() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// ReadAt reads a part of the voucher.
func (s *spool) ReadAt(p []byte, from int64) (n int, err error) {
	inMemory := int64(s.memory.Len())
	if from < inMemory {
		n = copy(p, s.memory.Bytes()[from:])
	}
	if n == len(p) {
		return n, nil
	}
	if s.file == nil {
		return n, io.EOF
	}
	m, err := s.file.ReadAt(p[n:], from+int64(n)-inMemory)
	if err != nil && err != io.EOF { //nolint:errorlint // ReadAt gives the end as it is
		err = fmt.Errorf("read a spooled voucher: %w", err)
	}
	return n + m, err
}

// close forgets the voucher.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()           // nothing in it counts any more
		_ = os.Remove(s.file.Name()) // gone already, as a rule
	}
}

// trySpool finds out at the start whether large vouchers can be spooled.
func trySpool() error {
	f, err := spoolFile()
	if err != nil {
		return err
	}
	return f.Close() // it names the file
}
