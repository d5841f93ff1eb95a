package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/voucherd/voucherd/internal/accountname"
)

const (
	// staleAfter is when a passing file belongs to nobody any more: a Put writes to its own all the
	// time.
	staleAfter = time.Hour
	// namesAtOnce bounds memory when a crash has left many.
	namesAtOnce = 256
)

// Unclaimed implements Store, in no order. It reads one directory, which holds only what is
// unclaimed, and removes from it what cut-off calls have left.
func (d *Dir) Unclaimed(ctx context.Context, account string, olderThan time.Duration, limit int) ([]Unclaimed, error) {
	if !accountname.Valid(account) || limit <= 0 {
		return nil, nil
	}
	root, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	l := lister{root: root, dir: place{account: account}.unclaimedDir(), olderThan: olderThan, limit: limit}
	if err := l.list(ctx); err != nil {
		return nil, fmt.Errorf("list unclaimed in the blob store: %w", err)
	}
	return l.found, nil
}

type lister struct {
	root      *os.Root
	dir       string
	olderThan time.Duration
	limit     int
	now       time.Time // by the file system's clock
	found     []Unclaimed
}

func (l *lister) list(ctx context.Context) (err error) {
	dir, err := l.root.Open(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if l.now, err = fileClock(l.root, l.dir); err != nil {
		return err
	}
	for {
		entries, err := dir.ReadDir(namesAtOnce)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := l.look(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if len(l.found) == l.limit {
				return nil
			}
		}
	}
}

// look takes one file. That it is gone meanwhile is no error.
func (l *lister) look(file string) error {
	name := l.dir + "/" + file
	info, err := l.root.Lstat(name)
	if err != nil {
		return err
	}
	age := l.now.Sub(info.ModTime())
	if strings.HasSuffix(file, partSuffix) || strings.HasSuffix(file, tempSuffix) {
		if age < staleAfter {
			return nil
		}
		return l.root.Remove(name)
	}
	p, err := placeOf(strings.TrimSuffix(file, recordSuffix))
	if err != nil || age < l.olderThan {
		return nil //nolint:nilerr // A file of somebody else's.
	}
	if _, err = l.root.Lstat(p.claimedFile()); err == nil {
		return l.root.Remove(name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r, err := readRecord(l.root, name)
	if errors.Is(err, ErrDamaged) { // Its Put was cut off.
		r, err = record{}, nil
	}
	if err != nil {
		return err
	}
	r.Key = p.key
	l.found = append(l.found, Unclaimed{Entry: r.Entry, Meta: r.Meta, Age: age})
	return nil
}

// fileClock asks the file system for the time: on a network disk it is the server's, which also
// dates the files.
func fileClock(root *os.Root, dir string) (time.Time, error) {
	name := tempName(dir + "/clock")
	f, err := createNew(root, name)
	if err != nil {
		return time.Time{}, err
	}
	info, err := f.Stat()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if removeErr := root.Remove(name); err == nil {
		err = removeErr
	}
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
