package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	ownerFile = 0o600
	ownerDir  = 0o700
	// namesAtOnce bounds memory when a directory holds many.
	namesAtOnce = 256
)

// createNew makes a file that was not there.
func createNew(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, ownerFile)
}

// writeNew makes a file with text in it; its bytes are on the disk when it returns, its name only
// after syncDir.
func writeNew(root *os.Root, name string, text []byte) error {
	f, err := createNew(root, name)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncDir makes the names in a directory durable.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// readDir lists a directory by name.
func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(root.FS(), name)
}

// eachName calls do with each name of a directory, in no order, until it says no more. It holds few
// names in memory. A directory that is not there has none.
func eachName(ctx context.Context, root *os.Root, name string, do func(name string) (more bool, err error)) error {
	dir, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, n := range names {
			if err = ctx.Err(); err != nil {
				return err
			}
			if more, err := do(n); err != nil || !more {
				return err
			}
		}
	}
}

// tempName is a name that nobody else uses. What a crash leaves under such a name is swept when it
// is old.
func tempName(prefix string) string { return prefix + "." + randomName() + tempSuffix }

func randomName() string { return strings.ToLower(rand.Text()) }
