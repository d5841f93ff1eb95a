package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// openVoucher opens a file, or standard input.
func (s *session) openVoucher(ctx context.Context, path string) (io.ReadCloser, error) {
	if path == "-" {
		if isTerminal(s.stdin) {
			return nil, usagef("standard input is a terminal: pipe the file in, as in `voucherd … - < FILE`")
		}
		return s.input(ctx), nil
	}
	return openFile(path)
}

// input is standard input until the context ends. A read that blocks cannot be ended: it is left
// behind, and lasts as long as the process.
func (s *session) input(ctx context.Context) io.ReadCloser {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { _ = in.CloseWithError(ctx.Err()) }) // the first end of a pipe is what counts
	go func() {
		_, err := io.Copy(in, s.stdin)
		_ = in.CloseWithError(err)
	}()
	return out
}

func openFile(path string) (io.ReadCloser, error) {
	if _, err := regular(path); err != nil {
		return nil, err
	}
	return os.Open(path) //nolint:gosec // the user names the file, and so does the error
}

// regular refuses what is not a regular file: opening or reading it could block, or never end.
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var kind string
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return info, nil
	case mode.IsDir():
		return nil, fmt.Errorf("%s is a directory: name the file in it", path)
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	default:
		kind = "no regular file"
	}
	return nil, fmt.Errorf("%s is %s: name a regular file, or - to read standard input", path, kind)
}
