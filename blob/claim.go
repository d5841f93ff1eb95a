package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	recordVersion = 1
	recordSuffix  = ".json"
	partSuffix    = ".part"
)

// record is a voucher's metadata file.
type record struct {
	Version int `json:"version"`
	Entry
	Meta

	PutAt    time.Time `json:"putAt"`
	UploadID string    `json:"uploadId,omitempty"`

	Note
}

func (r record) stored() Stored {
	return Stored{Entry: r.Entry, Meta: r.Meta, Note: r.Note, PutAt: r.PutAt, UploadID: r.UploadID}
}

func writeRecord(root *os.Root, name string, r record) error {
	r.Version = recordVersion
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeNew(root, name, append(text, '\n'))
}

// readRecord's error wraps fs.ErrNotExist when there is none, ErrDamaged when it cannot be read.
func readRecord(root *os.Root, name string) (record, error) {
	text, err := root.ReadFile(name)
	if err != nil {
		return record{}, err
	}
	var r record
	read := json.NewDecoder(bytes.NewReader(text))
	if err := read.Decode(&r); err != nil {
		return record{}, fmt.Errorf("%w: its metadata cannot be read: %w", ErrDamaged, err)
	}
	var n Note
	if read.Decode(&n) == nil { // One that was cut off by a crash is none.
		r.Note = n
	}
	if r.Version > recordVersion {
		return record{}, fmt.Errorf("metadata has version %d, this program knows %d: use a newer one", r.Version, recordVersion)
	}
	return r, nil
}

// Claim implements Store. A voucher that another upload has claimed is refused: the end of one
// would take the other's bytes.
func (d *Dir) Claim(ctx context.Context, key, uploadID string) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := claim(root, p, uploadID); err != nil {
		return fmt.Errorf("claim in the blob store: %w", err)
	}
	return nil
}

func claim(root *os.Root, p place, uploadID string) error {
	claimed, err := readRecord(root, p.claimedFile())
	switch {
	case err == nil && claimed.UploadID != uploadID:
		return fmt.Errorf("%s is claimed by another upload", p.key)
	case err == nil:
		// Another's Claim may not have synced yet.
		err = syncDir(root, p.shardDir())
	case errors.Is(err, fs.ErrNotExist):
		var r record
		if r, err = readRecord(root, p.unclaimedFile()); errors.Is(err, fs.ErrNotExist) {
			return claimedMeanwhile(root, p, uploadID)
		}
		if err == nil {
			r.UploadID = uploadID
			err = replaceRecord(root, p, r)
		}
	}
	if err != nil {
		return err
	}
	if err := root.Remove(p.unclaimedFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// claimedMeanwhile looks again: both files are absent between two looks if another process claims
// at the same time.
func claimedMeanwhile(root *os.Root, p place, uploadID string) error {
	r, err := readRecord(root, p.claimedFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrMissing, p.key)
	case err != nil:
		return err
	case r.UploadID != uploadID:
		return fmt.Errorf("%s is claimed by another upload", p.key)
	default:
		return syncDir(root, p.shardDir())
	}
}

// Note implements Store.
func (d *Dir) Note(ctx context.Context, key string, n Note) error {
	p, err := placeOf(key)
	if err != nil {
		return err
	}
	root, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	r, err := readRecord(root, p.claimedFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: %s", ErrMissing, key)
	case err == nil && r.State != n.State:
		r.Note = n
		err = replaceRecord(root, p, r)
	}
	if err != nil {
		return fmt.Errorf("note in the blob store: %w", err)
	}
	return nil
}

// replaceRecord puts r, whole or not at all, in the claimed place. It takes it back if the voucher
// was deleted meanwhile.
func replaceRecord(root *os.Root, p place, r record) error {
	temp := tempName(p.unclaimedDir() + "/" + p.key)
	err := writeRecord(root, temp, r)
	if err == nil {
		err = root.Rename(temp, p.claimedFile())
	}
	if err != nil {
		_ = root.Remove(temp)
		return err
	}
	if err = syncDir(root, p.shardDir()); err != nil {
		return err
	}
	_, err = root.Lstat(p.voucherFile())
	if errors.Is(err, fs.ErrNotExist) {
		_ = root.Remove(p.claimedFile())
		return fmt.Errorf("%w: %s", ErrMissing, p.key)
	}
	return err
}
