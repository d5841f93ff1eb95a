package main_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	main "github.com/voucherd/voucherd/cmd/voucherd"
)

// runTo runs the program with one writer for all it prints.
func runTo(ctx context.Context, out io.Writer, args ...string) int {
	return main.Run(ctx, args, strings.NewReader(""), out, out, nil)
}

func TestTheSandboxServesUntilStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lockedBuffer{}
	code := make(chan int, 1)
	go func() {
		code <- runTo(ctx, out, "sandbox", "--listen", "127.0.0.1:0", "--fault", "outage,for=1h", "--fault", "slow,delay=1s,times=2")
	}()
	var address string
	eventually(t, "it listens", func() bool {
		address = regexp.MustCompile(`http://[0-9.:]+`).FindString(out.String())
		return address != ""
	})
	if status, faults := get(t, address+"/_sandbox/faults"); status != http.StatusOK ||
		!strings.Contains(faults, `"outage"`) || !strings.Contains(faults, `"slow"`) {
		t.Errorf("%d %s", status, faults)
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("ended with %d: %s", c, out)
	}
}
