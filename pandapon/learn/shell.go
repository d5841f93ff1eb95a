package learn

import (
	"iter"
	"strconv"
	"strings"
)

// shellWords splits a text as a POSIX shell does, without doing any of it: quotes are taken off,
// lines joined, and what ends a command only ends a word. A quote that is not closed ends with the
// text. $'…' is read as bash does.
func shellWords(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		w := &shellText{rest: s}
		for w.skip() {
			if word, ok := w.word(); ok && !yield(word) {
				return
			}
		}
	}
}

const shellBlanks = " \t\r\n|&;()"

type shellText struct{ rest string }

// take gives what stands before the next of some characters, and that character; 0 at the end.
func (w *shellText) take(until string) (before string, c byte) {
	i := strings.IndexAny(w.rest, until)
	if i < 0 {
		before, w.rest = w.rest, ""
		return before, 0
	}
	before, c, w.rest = w.rest[:i], w.rest[i], w.rest[i+1:]
	return before, c
}

// skip goes to the next word; false: there is none.
func (w *shellText) skip() bool {
	for {
		w.rest = strings.TrimLeft(w.rest, shellBlanks)
		if !strings.HasPrefix(w.rest, "#") {
			return w.rest != ""
		}
		w.take("\n")
	}
}

// word reads a word; false: it was no more than the end of a line that goes on.
func (w *shellText) word() (string, bool) {
	var b strings.Builder
	found := false
	for {
		before, c := w.take(shellBlanks + `'"\$`)
		b.WriteString(before)
		found = found || before != ""
		switch c {
		case '\'':
			text, _ := w.take("'")
			b.WriteString(text)
			found = true
		case '"':
			w.doubleQuoted(&b)
			found = true
		case '\\':
			if escaped, ok := w.escaped(); ok {
				b.WriteString(escaped)
				found = true
			}
		case '$':
			found = true
			if rest, ok := strings.CutPrefix(w.rest, "'"); ok {
				w.rest = rest
				w.dollarQuoted(&b)
			} else {
				b.WriteByte('$')
			}
		default: // the word's end
			return b.String(), found
		}
	}
}

// escaped gives the character after a backslash; false: it is a line's end, and the line goes on.
func (w *shellText) escaped() (string, bool) {
	for _, end := range []string{"\n", "\r\n"} {
		if rest, ok := strings.CutPrefix(w.rest, end); ok {
			w.rest = rest
			return "", false
		}
	}
	n := min(1, len(w.rest))
	c := w.rest[:n]
	w.rest = w.rest[n:]
	return c, true
}

func (w *shellText) doubleQuoted(b *strings.Builder) {
	for {
		before, c := w.take(`"\`)
		b.WriteString(before)
		if c != '\\' {
			return
		}
		escaped, goesOn := w.escaped()
		if goesOn && !strings.Contains("\"\\$`", escaped) {
			b.WriteByte('\\')
		}
		b.WriteString(escaped)
	}
}

func (w *shellText) dollarQuoted(b *strings.Builder) {
	for {
		before, c := w.take(`'\`)
		b.WriteString(before)
		if c != '\\' {
			return
		}
		if strings.HasPrefix(w.rest, "'") || strings.HasPrefix(w.rest, `"`) {
			b.WriteByte(w.rest[0])
			w.rest = w.rest[1:]
			continue
		}
		// Go's escapes are bash's, as far as headers have any.
		r, _, rest, err := strconv.UnquoteChar(`\`+w.rest, 0)
		if err != nil {
			b.WriteByte('\\')
			continue
		}
		b.WriteRune(r)
		w.rest = rest
	}
}
