//go:build unix

package main_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
)

// TestOnlyRegularFilesAreOpened names what would block, or never end, when it is read.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pipe := filepath.Join(b.dir, "receipt.jpg")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		pipe: "receipt.jpg is a named pipe", os.DevNull: "/dev/null is a device", b.dir: "is a directory",
	} {
		for _, args := range [][]string{
			{"enqueue", "--order", "1", path},
			{"enqueue", "--manifest", path},
			{"doctor", "--order", "1", "--try", path},
			{"demo", "--order", "1", "--voucher", path},
			{"sign", "--account", b.account, "--order", "1", path},
		} {
			b.want(b.run(args...), 1, says)
		}
		row := b.file("list.csv", []byte("order,file\n1,"+path+"\n"))
		b.want(b.run("enqueue", "--manifest", row), 1, "1 failed", says)
	}
}

// TestStoppingWhileStandardInputBlocks gives an input that neither says anything nor ends.
func TestStoppingWhileStandardInputBlocks(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"voucher": {"enqueue", "--order", "1", "-"}, "manifest": {"enqueue", "--manifest", "-"},
		"demo": {"demo", "--order", "1", "--voucher", "-"}, "doctor": {"doctor", "--order", "1", "--try", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			silent, writer := io.Pipe()
			t.Cleanup(func() { _ = writer.Close() })
			ctx, cancel := context.WithCancel(t.Context())
			read := make(chan struct{})
			input := readerFunc(func(p []byte) (int, error) { close(read); return silent.Read(p) })
			done := make(chan outcome, 1)
			go func() { done <- start(ctx, input, b.env, args...) }()
			<-read
			cancel()
			o := <-done
			want(t, o, 130, "stopped")
			if name == "voucher" || name == "manifest" {
				want(t, o, 130, "nothing was enqueued")
			}
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestStandardInputIsReadInPieces gives the voucher a byte at a time.
func TestStandardInputIsReadInPieces(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := b.runWith(iotest.OneByteReader(bytes.NewReader(content)), "enqueue", "--order", order, "-")
	b.want(o, 0)
	b.want(b.run("enqueue", "--order", order, file), 0, "enqueued before")
}
