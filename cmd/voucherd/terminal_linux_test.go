package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"golang.org/x/sys/unix"

	main "github.com/voucherd/voucherd/cmd/voucherd"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// terminal opens a terminal of this width and height. All that is printed on it can be read from
// the screen.
func terminal(t *testing.T, width, height uint16) (tty *os.File, shown *lockedBuffer) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keyboard.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
	}
	if err == nil {
		tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	shown = &lockedBuffer{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(shown, keyboard) // ends with an error once nobody has the terminal open
	}()
	t.Cleanup(func() {
		_ = tty.Close()
		<-read
		_ = keyboard.Close()
	})
	return tty, shown
}

// onTerminal runs the program on a terminal and gives what was shown, line by line.
func (b *bench) onTerminal(width uint16, env []string, args ...string) []string {
	b.t.Helper()
	tty, shown := terminal(b.t, width, 24)
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	if code := main.Run(ctx, args, strings.NewReader(""), tty, io.Discard, append(b.env, env...)); code != 0 {
		b.t.Fatalf("%v ended with %d", args, code)
	}
	const end = "-end-"
	if _, err := tty.WriteString(end); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "all is shown", func() bool { return strings.HasSuffix(shown.String(), end) })
	return lines(strings.TrimSuffix(strings.ReplaceAll(shown.String(), "\r\n", "\n"), end))
}

func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	order, file := b.picture(1)
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Refuse, Code: 4242, Msg: strings.Repeat("凭证不清晰 ", 12)})
	o := b.run("enqueue", "--wait", "--json", "--order", order, file)
	u := upload(t, o.stdout)
	for _, width := range []uint16{200, 120, 80, 60} {
		for _, args := range [][]string{{"list", "--account", b.account}, {"show", order}} {
			shown := b.onTerminal(width, []string{"NO_COLOR=1"}, args...)
			text := strings.Join(shown, "\n")
			if int(width) >= len(u.ID)+len(order)+20 && !strings.Contains(text, u.ID) {
				t.Errorf("%d columns of %v cut the upload's id:\n%s", width, args, text)
			}
			table := text
			if args[0] == "show" {
				_, table, _ = strings.Cut(text, "\n\n")
			}
			for _, line := range lines(table) {
				if cells := uniseg.StringWidth(line); cells > int(width) && !strings.HasPrefix(line, "(left out") {
					t.Errorf("%d columns of %v: a line has %d:\n%s", width, args, cells, text)
				}
			}
			if strings.Contains(text, "\x1b") {
				t.Errorf("NO_COLOR is set, and %v shows colours:\n%q", args, text)
			}
		}
	}
	// What is no terminal gets everything.
	whole := b.must(0, "list", "--account", b.account)
	b.want(whole, 0, u.ID, "REQUEST ID", "NEXT ATTEMPT")
}

func TestColoursAreForTerminals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker()
	order, file := b.picture(1)
	b.must(0, "enqueue", "--wait", "--order", order, file)
	const green = "\x1b[32mdelivered"
	for _, args := range [][]string{{"show", order}, {"list", "--order", order}} {
		if text := strings.Join(b.onTerminal(200, nil, args...), "\n"); !strings.Contains(text, green) {
			t.Errorf("%v on a terminal: %q", args, text)
		}
		if text := strings.Join(b.onTerminal(200, nil, append(args, "--color=never")...), "\n"); strings.Contains(text, "\x1b") {
			t.Errorf("%v --color=never: %q", args, text)
		}
		if o := b.must(0, args...); strings.Contains(o.stdout, "\x1b") {
			t.Errorf("%v in a pipe: %q", args, o.stdout)
		}
		b.want(b.run(append(args, "--color", "always")...), 0, green)
	}
	b.want(b.run("list", "--color", "blue"), 2, "--color")
}

func TestListIsWatched(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.run("list", "--watch"), 2, "--watch")
	tty, shown := terminal(t, 200, 24)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() {
		code <- main.Run(ctx, []string{"list", "--watch", "--account", b.account}, strings.NewReader(""), tty, io.Discard, b.env)
	}()
	eventually(t, "an empty list is shown", func() bool { return strings.Contains(shown.String(), "No upload matches.") })
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	eventually(t, "the upload appears", func() bool { return strings.Contains(shown.String(), order) })
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("Ctrl-C ended it with %d", c)
	}
}

// TestLogsAreForWhoReadsThem starts gateways whose log goes to a terminal, and elsewhere.
func TestLogsAreForWhoReadsThem(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	begins := func(stderr io.Writer, text func() string, want string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int, 1)
		go func() {
			code <- main.Run(ctx, append([]string{"gateway", "--listen=127.0.0.1:0"}, args...), strings.NewReader(""), io.Discard, stderr, b.env)
		}()
		eventually(t, strings.Join(args, " ")+" shows "+want, func() bool { return strings.Contains(text(), want) })
		cancel()
		<-code
	}
	tty, shown := terminal(t, 200, 24)
	begins(tty, shown.String, "info\tgateway.listening\t")
	begins(tty, shown.String, `"event":"gateway.listening"`, "--log-format=json")
	var piped lockedBuffer
	begins(&piped, piped.String, `"event":"gateway.listening"`)
	begins(&piped, piped.String, "info\tgateway.listening\t", "--log-format=console")
}

// TestShellsComplete asks each shell that is there what it would offer.
func TestShellsComplete(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const ask = `COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _voucherd; echo "${COMPREPLY[@]}"`
	for _, tc := range []struct{ words, want string }{
		{"voucherd ex", "export"},
		{"voucherd list --wa", "--watch"},
		{"voucherd list --state rej", "rejected"},
		{"voucherd token n", "new"},
		{"voucherd token new --role op", "operator"},
	} {
		script := b.must(0, "completion", "bash").stdout + fmt.Sprintf(ask, tc.words)
		said, err := exec.CommandContext(t.Context(), "bash", "-c", script).CombinedOutput()
		if got := string(bytes.TrimSpace(said)); err != nil || got != tc.want {
			t.Errorf("%s: bash offers %q (%v), want %q", tc.words, got, err, tc.want)
		}
	}
	b.want(b.run("completion", "zsh"), 0, "bashcompinit", "_voucherd")
	b.want(b.run("completion", "fish"), 0, "__fish_seen_subcommand_from list", "-l watch")
	b.want(b.run("completion", "cmd"), 2, "bash")
}
