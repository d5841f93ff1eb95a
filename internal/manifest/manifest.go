// Package manifest reads CSV files that name many vouchers, one a line.
package manifest

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Line is one voucher of a manifest.
type Line struct {
	Number    int // of its first row in the file, from 1; the header is line 1
	Order     string
	File      string // as it stands in the manifest
	User      string
	Account   string
	Reference string
}

// maxLines bounds what is kept in memory.
const maxLines = 1_000_000

// Read reads a manifest: a header with order and file, and in any order and number user, account
// and reference, then a line for each voucher. Spaces around values do not count. All faults are
// reported, each with its line; then nothing is returned.
func Read(r io.Reader) ([]Line, error) {
	rows := csv.NewReader(withoutBOM(r))
	rows.FieldsPerRecord = -1 // the complaint below is clearer
	rows.TrimLeadingSpace = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty: the first line is order,file[,user][,account][,reference]")
	}
	if err != nil {
		return nil, plain(err)
	}
	columns, err := readHeader(header)
	if err != nil {
		return nil, err
	}
	var lines []Line
	var faults []error
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(append(faults, plain(err))...)
		}
		number, _ := rows.FieldPos(0)
		line, err := readLine(columns, row)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", number, err))
			if len(faults) == maxFaults {
				faults = append(faults, errors.New("… and so on"))
				break
			}
			continue
		}
		line.Number = number
		if lines = append(lines, line); len(lines) > maxLines {
			return nil, fmt.Errorf("it has more than %d lines: split it", maxLines)
		}
	}
	switch {
	case len(faults) > 0:
		return nil, errors.Join(faults...)
	case len(lines) == 0:
		return nil, errors.New("it has a header and no lines")
	}
	return lines, nil
}

// maxFaults keeps a file that is no manifest at all from filling the screen.
const maxFaults = 20

// withoutBOM drops the mark that spreadsheets put before UTF-8.
func withoutBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if start, err := b.Peek(3); err == nil && string(start) == "\ufeff" {
		_, _ = b.Discard(3) // it was peeked, so it is there
	}
	return b
}

// plain drops csv's own name from its complaint.
func plain(err error) error {
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("line %d, column %d: %w", p.Line, p.Column, p.Err)
	}
	return err
}

func known() []string { return []string{"order", "file", "user", "account", "reference"} }

func readHeader(header []string) ([]string, error) {
	columns := make([]string, len(header))
	for i, name := range header {
		columns[i] = strings.ToLower(strings.TrimSpace(name))
		switch {
		case columns[i] == "lane":
			return nil, errors.New("line 1: the column lane is called account now")
		case !slices.Contains(known(), columns[i]):
			return nil, fmt.Errorf("line 1: there is no column %q: the header is order,file[,user][,account][,reference]", name)
		case slices.Contains(columns[:i], columns[i]):
			return nil, fmt.Errorf("line 1: the column %s stands twice", columns[i])
		}
	}
	for _, must := range known()[:2] {
		if !slices.Contains(columns, must) {
			return nil, fmt.Errorf("line 1: the column %s is missing: the header is order,file[,user][,account][,reference]", must)
		}
	}
	return columns, nil
}

func readLine(columns, row []string) (Line, error) {
	var l Line
	if len(row) != len(columns) {
		return l, fmt.Errorf("it has %d values, the header has %d", len(row), len(columns))
	}
	for i, value := range row {
		value = strings.TrimSpace(value)
		if !utf8.ValidString(value) {
			return l, fmt.Errorf("%s is not UTF-8", columns[i])
		}
		switch columns[i] {
		case "order":
			l.Order = value
		case "file":
			l.File = value
		case "user":
			l.User = value
		case "account":
			l.Account = value
		case "reference":
			l.Reference = value
		}
	}
	switch {
	case l.Order == "":
		return l, errors.New("the order is missing")
	case l.File == "":
		return l, errors.New("the file is missing")
	case scientific(l.Order):
		return l, fmt.Errorf("the order %q was rounded by a spreadsheet: format the column as text", l.Order)
	}
	return l, nil
}

// scientific recognises what spreadsheets make of 19 digits: 1.23457E+18.
func scientific(s string) bool {
	digits, exponent, found := strings.Cut(strings.ToUpper(s), "E+")
	return found && strings.Trim(digits, "0123456789.") == "" && strings.Trim(exponent, "0123456789") == ""
}
