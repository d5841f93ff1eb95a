package blob

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

const (
	recordVersion = 1
	// markPrefix, 16 hex digits and a line feed end a voucher's file. The digits say where the
	// metadata begins. It is also a line by itself, so that what a crash cut off does not hide it.
	markPrefix = "\nvoucherd:"
	markLength = len(markPrefix) + 16 + 1
	// tailBytes is what is read at once of a file's end: most metadata and notes fit into it.
	tailBytes = 4 << 10
	// mostMetadata bounds memory, whatever a damaged file says.
	mostMetadata = 1 << 20
)

// record is a voucher's metadata. In its file it follows the bytes, a line of JSON; then come notes,
// the last of which counts, each a line too. A mark ends the record and each note.
type record struct {
	Version int `json:"version"`
	Stored
}

// trailer is what follows the bytes.
func (r record) trailer() ([]byte, error) {
	r.Version = recordVersion
	return marked(r, r.Size)
}

// marked is a line of JSON and a mark.
func marked(v any, at int64) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "\n%s%s%016x\n", text, markPrefix, at), nil
}

// readRecord reads the metadata and the last note of the voucher whose file f is. The error is
// ErrDamaged when there is none, as when its Put was cut off.
func readRecord(f *os.File, key string) (record, error) {
	text, at, err := readMetadata(f)
	if err != nil {
		return record{}, err
	}
	r, err := parseRecord(text)
	if err == nil && (r.Key != key || r.Size != at) {
		err = fmt.Errorf("%w: %s holds the metadata of something else", ErrDamaged, key)
	}
	return r, err
}

// readMetadata reads what follows a voucher's bytes, and where that begins.
func readMetadata(f *os.File) (text []byte, at int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	from := max(0, info.Size()-tailBytes)
	tail, err := readFrom(f, from, info.Size())
	if err != nil {
		return nil, 0, err
	}
	at, ok := lastMark(tail)
	if !ok || at > info.Size() || info.Size()-at > mostMetadata {
		return nil, 0, fmt.Errorf("%w: it has no metadata", ErrDamaged)
	}
	if at < from {
		from = at
		if tail, err = readFrom(f, at, info.Size()); err != nil {
			return nil, 0, err
		}
	}
	return tail[min(int(at-from), len(tail)):], at, nil
}

func readFrom(f io.ReaderAt, from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	n, err := f.ReadAt(b, from)
	if errors.Is(err, io.EOF) { // Someone cuts it off.
		err = nil
	}
	return b[:n], err
}

// lastMark finds the last whole mark, and where it says that the metadata begins.
func lastMark(tail []byte) (at int64, ok bool) {
	for {
		i := bytes.LastIndex(tail, []byte(markPrefix))
		if i < 0 {
			return 0, false
		}
		if i+markLength <= len(tail) {
			digits := tail[i+len(markPrefix) : i+markLength-1]
			at, err := strconv.ParseInt(string(digits), 16, 64)
			if err == nil && at >= 0 {
				return at, true
			}
		}
		tail = tail[:i]
	}
}

// parseRecord takes the first line for the record, and the last that can be read for its note. A
// tab is as good as the end of a line: JSON text has neither.
func parseRecord(text []byte) (record, error) {
	var r record
	first, rest, _ := bytes.Cut(bytes.ReplaceAll(bytes.TrimSpace(text), []byte("\t"), []byte("\n")), []byte("\n"))
	if err := json.Unmarshal(first, &r); err != nil {
		return record{}, fmt.Errorf("%w: its metadata cannot be read: %w", ErrDamaged, err)
	}
	if r.Version > recordVersion {
		return record{}, fmt.Errorf("metadata has version %d, this program knows %d: use a newer one", r.Version, recordVersion)
	}
	for line := range bytes.SplitSeq(rest, []byte("\n")) {
		var n Note
		if len(line) > 0 && line[0] == '{' && json.Unmarshal(line, &n) == nil {
			r.Note = n
		}
	}
	return r, nil
}
