package main

import (
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/voucherd/voucherd/ledger"
)

// screen is what a command prints for people on.
type screen struct {
	io.Writer

	width, height int // 0: no terminal, nothing is cut
	color         bool
}

// screen gives standard output, with what is known of the terminal behind it.
func (s *session) screen() screen {
	sc := screen{Writer: s.stdout}
	if f, ok := s.stdout.(*os.File); ok && isTerminal(f) {
		sc.color = s.getenv("NO_COLOR") == "" && s.getenv("TERM") != "dumb"
		if width, height, err := term.GetSize(int(f.Fd())); err == nil {
			sc.width, sc.height = width, height
		}
	}
	if s.grammar.Color != "auto" {
		sc.color = s.grammar.Color == "always"
	}
	return sc
}

// The colours of a terminal.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	gray   = "\x1b[90m"
	normal = "\x1b[0m"
)

// paint colours what is said of an upload's state or an attempt's outcome. Other texts stay as they
// are.
func (sc screen) paint(text string) string {
	if !sc.color {
		return text
	}
	for _, c := range []struct{ begins, color string }{
		{string(ledger.Delivered), green},
		{string(ledger.Rejected), red},
		{string(ledger.Expired), red},
		{string(ledger.Waiting), yellow},
		{string(ledger.Sending), cyan},
		{string(ledger.Discarded), gray},
		{outcomeWords(ledger.OutcomeRefused), red},
		{outcomeWords(ledger.OutcomeInvalid), red},
		{outcomeWords(ledger.OutcomeThrottled), yellow},
		{outcomeWords(ledger.OutcomeUnavailable), yellow},
		{outcomeWords(ledger.OutcomeUnclear), yellow},
		{outcomeWords(ledger.OutcomeInterrupted), yellow},
		{outcomeWords(""), cyan},
	} {
		if strings.HasPrefix(text, c.begins) {
			return c.color + text + normal
		}
	}
	return text
}

// A table's times are all in the zone that its reader has now, and the title says which.
func timed(title string) string { return title + " (" + time.Now().Format("Z07:00") + ")" }

// tableTime writes a time in the zone that the column's title names.
func tableTime(t ledger.Time) string {
	if t.IsZero() {
		return "-"
	}
	_, offset := time.Now().Zone()
	return t.In(time.FixedZone("", offset)).Format(time.DateTime)
}
