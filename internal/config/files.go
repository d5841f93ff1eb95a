package config

import (
	"fmt"
	"io"
	"os"
)

// maxFile bounds a secret's file and the accounts file, so that a wrong path cannot fill the
// memory.
const maxFile = 1 << 20

// readFile reads a file of the settings, and notes that it did.
func (l *loader) readFile(path string) ([]byte, error) {
	l.cfg.Files = append(l.cfg.Files, Stat(path)) // first: what changes meanwhile has changed
	return readFile(path)
}

// File is a file as it was when it was read, as far as a change of it shows.
type File struct {
	Path    string
	Size    int64
	Changed int64 // nanoseconds since 1970; 0: there was no regular file
}

// Stat looks at a file.
func Stat(path string) File {
	f := File{Path: path}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		f.Size, f.Changed = info.Size(), info.ModTime().UnixNano()
	}
	return f
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, nil
}
