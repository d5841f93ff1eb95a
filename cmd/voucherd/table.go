package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
)

// column is a column of a table.
type column struct {
	title string
	leave int  // when the table is too wide, columns leave in this order; 0: it stays, and is cut last
	text  bool // free text: cut before any column leaves
	state bool // coloured
}

// textLeast is how narrow free text may get, in cells.
const textLeast = 16

// table prints rows for people: as wide as the terminal at most, and whole where there is none.
type table struct {
	columns []column
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

const gap = 2 // between two columns

func (t *table) print(to screen) error {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = uniseg.StringWidth(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], uniseg.StringWidth(row[i]))
		}
	}
	left := t.fit(widths, to.width)
	if err := t.printRow(to, widths, func(i int) string { return t.columns[i].title }, false); err != nil {
		return err
	}
	for _, row := range t.rows {
		if err := t.printRow(to, widths, func(i int) string { return row[i] }, true); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		_, err := fmt.Fprintf(to, "(left out, for the terminal is narrow: %s)\n", strings.ToLower(strings.Join(left, ", ")))
		return err
	}
	return nil
}

// fit makes the columns as narrow as the terminal wants: first it cuts free text, then columns
// leave, and at last what stays is cut. It gives the titles of those that left; their width is 0.
func (t *table) fit(widths []int, width int) (left []string) {
	if width <= 0 {
		return nil
	}
	surplus := func() int {
		total := -gap
		for _, w := range widths {
			if w > 0 {
				total += w + gap
			}
		}
		return total - width
	}
	narrow := func(least int, which func(column) bool) {
		for i, c := range t.columns {
			if which(c) && widths[i] > least {
				widths[i] = max(least, widths[i]-max(0, surplus()))
			}
		}
	}
	narrow(textLeast, func(c column) bool { return c.text })
	order := make([]int, 0, len(t.columns))
	for i, c := range t.columns {
		if c.leave > 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(t.columns[a].leave, t.columns[b].leave) })
	for _, i := range order {
		if surplus() <= 0 {
			break
		}
		widths[i] = 0
		left = append(left, t.columns[i].title)
	}
	narrow(textLeast, func(c column) bool { return c.leave == 0 && !c.state })
	return left
}

func (t *table) printRow(to screen, widths []int, cell func(int) string, body bool) error {
	var line strings.Builder
	pending := 0 // blanks that are due if anything follows
	for i, c := range t.columns {
		if widths[i] == 0 {
			continue
		}
		text := cut(cell(i), widths[i])
		line.WriteString(strings.Repeat(" ", pending))
		pending = widths[i] - uniseg.StringWidth(text) + gap
		if body && c.state {
			text = to.paint(text)
		}
		line.WriteString(text)
	}
	_, err := fmt.Fprintln(to, line.String())
	return err
}

// cut shortens a text to a number of cells, and shows that it did.
func cut(text string, cells int) string {
	if uniseg.StringWidth(text) <= cells {
		return text
	}
	var short strings.Builder
	for g := uniseg.NewGraphemes(text); g.Next() && uniseg.StringWidth(short.String())+g.Width() < cells; {
		short.WriteString(g.Str())
	}
	return short.String() + "…"
}
