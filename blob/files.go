package blob

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	ownerFile = 0o600
	ownerDir  = 0o700
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

// tempName is a name that nobody else uses. What a crash leaves under such a name is swept when it
// is old.
func tempName(prefix string) string {
	return prefix + "." + strings.ToLower(rand.Text()) + tempSuffix
}
