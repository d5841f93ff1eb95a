package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/voucherd/voucherd/internal/accountname"
)

// Stored is all that a blob store in a directory knows of a voucher.
type Stored struct {
	Entry
	Meta
	Note

	PutAt time.Time `json:"putAt"` // by the file system's clock
}

// Came gives when the voucher was enqueued.
func (s Stored) Came() time.Time {
	if !s.CameAt.IsZero() {
		return s.CameAt
	}
	return s.PutAt
}

// staleAfter is when an unfinished file belongs to nobody any more: a Put writes to its own all the
// time.
const staleAfter = time.Hour

// Unclaimed implements Store, in no order. It reads one directory, which holds only what is
// unclaimed.
func (d *Dir) Unclaimed(ctx context.Context, account string, olderThan time.Duration, limit int) ([]Unclaimed, error) {
	if !accountname.Valid(account) || limit <= 0 {
		return nil, nil
	}
	root, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	dir := unclaimedDir(account)
	var found []Unclaimed
	var now time.Time // by the file system's clock
	err = eachName(ctx, root, dir, func(name string) (bool, error) {
		if now.IsZero() {
			if now, err = fileClock(root, dir); err != nil {
				return false, err
			}
		}
		u, lookErr := unclaimedFile(root, dir+"/"+name, now)
		if lookErr == nil && u.Age >= olderThan && u.Key != "" {
			found = append(found, u)
		}
		return len(found) < limit, lookErr
	})
	if err != nil {
		return nil, fmt.Errorf("list unclaimed in the blob store: %w", err)
	}
	return found, nil
}

// unclaimedFile looks at one file among the unclaimed. It gives nothing for one that is being
// written, is gone meanwhile, or is no voucher.
func unclaimedFile(root *os.Root, name string, now time.Time) (Unclaimed, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return Unclaimed{}, unlessGone(err)
	}
	age := now.Sub(info.ModTime())
	if strings.HasSuffix(name, tempSuffix) && age >= staleAfter {
		return Unclaimed{}, unlessGone(root.Remove(name))
	}
	p, err := placeOf(name[strings.LastIndexByte(name, '/')+1:])
	if err != nil {
		return Unclaimed{}, nil //nolint:nilerr // A file of somebody else's.
	}
	r, err := recordOf(root, name, p)
	if errors.Is(err, ErrDamaged) {
		if age < staleAfter {
			return Unclaimed{}, nil
		}
		r, err = record{Stored: Stored{Entry: Entry{Key: p.key}}}, nil // its Put was cut off
	}
	if err != nil {
		return Unclaimed{}, unlessGone(err)
	}
	return Unclaimed{Entry: r.Entry, Meta: r.Meta, Age: age}, nil
}

func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// recordOf reads a voucher's metadata.
func recordOf(root *os.Root, name string, p place) (record, error) {
	f, err := root.Open(name)
	if err != nil {
		return record{}, err
	}
	defer func() { _ = f.Close() }()
	return readRecord(f, p.key)
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

// All implements Store.
func (d *Dir) All(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		root, err := d.enter(ctx)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		defer func() { _ = root.Close() }()
		accounts, err := readDir(root, ".")
		for _, account := range accounts {
			if err != nil || !account.IsDir() || !accountname.Valid(account.Name()) {
				continue
			}
			var more bool
			if more, err = walkAccount(ctx, root, account.Name(), yield); err == nil && !more {
				return
			}
		}
		if err != nil {
			yield(Stored{}, fmt.Errorf("list the blob store: %w", err))
		}
	}
}

// walkAccount gives what was delivered, and then what is claimed. More is false when the caller
// wants no more.
func walkAccount(ctx context.Context, root *os.Root, account string, yield func(Stored, error) bool) (more bool, err error) {
	more = true
	retired := map[string]bool{}
	err = eachRetired(ctx, root, account, "", func(r record) bool {
		if !retired[r.Key] && r.Account == account { // else its metadata was damaged
			more = yield(r.Stored, nil)
		}
		retired[r.Key] = true
		return more
	})
	if err != nil || !more {
		return more, err
	}
	err = eachName(ctx, root, claimedDir(account), func(name string) (bool, error) {
		p, keyErr := placeOf(name)
		if keyErr != nil {
			return true, nil //nolint:nilerr // A file of somebody else's.
		}
		r, about := recordOf(root, p.claimedFile(), p)
		switch {
		case errors.Is(about, fs.ErrNotExist): // Deleted during the walk.
			return true, nil
		case retired[p.key]:
			about = fmt.Errorf("%w: %s was being retired", ErrMissing, p.key)
		case about != nil && !errors.Is(about, ErrDamaged):
			return false, about
		}
		r.Key = p.key
		more = yield(r.Stored, about)
		return more, nil
	})
	return more, err
}
