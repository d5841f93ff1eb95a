package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// View is the screen of a demo: a picture that is drawn anew on a terminal, plain lines elsewhere.
type View struct {
	Out   io.Writer
	Width func() int // of the terminal; nil: it is none, and lines are written

	headline string
	drawn    int // lines of the picture that stands on the terminal
	last     map[string]string
}

// frame is one look at everything.
type frame struct {
	at      time.Duration
	events  []event
	uploads []ledger.Upload
	account tasks.AccountStatus
}

// act says what the demo does now.
func (v *View) act(what string) {
	v.headline = what
	if v.Width == nil {
		v.say("\n%s\n", what)
	}
}

// show brings a look to the screen.
func (v *View) show(f frame) {
	if v.Width == nil {
		for _, e := range f.events {
			v.say("  %s  %-20s %s\n", seconds(f.at), e.order, e.what)
		}
		return
	}
	if v.last == nil {
		v.last = map[string]string{}
	}
	for _, e := range f.events {
		v.last[e.order] = e.what
	}
	v.draw(v.picture(f))
}

// seconds writes a time since the beginning, "  3.2 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%5.1f s", d.Seconds()) }

// picture gives the lines of the live view.
func (v *View) picture(f frame) []string {
	lines := []string{
		v.headline, "",
		seconds(f.at) + "   " + breakerLine(f.account), "",
		fmt.Sprintf("%-20s  %-10s  %-8s  %s", "ORDER", "STATE", "ATTEMPTS", "LAST"),
	}
	for _, u := range f.uploads {
		lines = append(lines, fmt.Sprintf("%-20s  %s  %-8s  %s", u.OrderID, paint(u.State), trail(u), v.last[u.OrderID]))
	}
	return lines
}

// trail shows the attempts at a glance: a dot for each failure, a plus for the delivery.
func trail(u ledger.Upload) string {
	var b strings.Builder
	for _, a := range u.Attempts {
		switch a.Outcome {
		case ledger.OutcomeDelivered:
			b.WriteByte('+')
		case "":
			b.WriteByte('>')
		case ledger.OutcomeUnclear, ledger.OutcomeInterrupted:
			b.WriteByte('?')
		case ledger.OutcomeThrottled, ledger.OutcomeRefused, ledger.OutcomeUnavailable, ledger.OutcomeInvalid:
			b.WriteByte('x')
		}
	}
	return b.String()
}

// paint gives a state its colour, padded to a column.
func paint(s ledger.State) string {
	colour := map[ledger.State]string{
		ledger.Sending: "36", ledger.Waiting: "33", ledger.Delivered: "32", ledger.Rejected: "31", ledger.Expired: "31",
	}[s]
	if colour == "" {
		return fmt.Sprintf("%-10s", s)
	}
	return fmt.Sprintf("\x1b[%sm%-10s\x1b[0m", colour, s)
}

// draw puts a picture where the last one stands.
func (v *View) draw(lines []string) {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	width := v.Width()
	for _, line := range lines {
		b.WriteString("\r" + cut(line, width) + "\x1b[K\n")
	}
	for range v.drawn - len(lines) {
		b.WriteString("\x1b[K\n")
	}
	v.drawn = max(v.drawn, len(lines))
	v.say("%s", b.String())
}

// cut keeps a line within the terminal's width: a line that wraps would spoil the picture. Colours
// take no room.
func cut(line string, width int) string {
	room, escape := width-1, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case room == 0:
			return line[:i] + "\x1b[0m"
		default:
			room--
		}
	}
	return line
}

// end leaves the last picture where it is.
func (v *View) end() { v.say("\n") }

// say writes to the screen. One that cannot be written to has nobody before it who could be told.
func (v *View) say(format string, args ...any) { _, _ = fmt.Fprintf(v.Out, format, args...) }
