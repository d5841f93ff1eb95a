package main

import (
	"encoding/csv"
	"os"
	"strconv"
	"strings"

	"github.com/voucherd/voucherd/tasks"
)

// results is the file that says what became of each upload, or line of a manifest; nil: none was asked
// for.
type results struct {
	file *os.File
	rows *csv.Writer
}

func openResults(path string, columns ...string) (*results, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // its methods take nil for no file
	}
	f, err := os.Create(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	r := &results{file: f, rows: csv.NewWriter(f)}
	return r, r.write(columns...)
}

// write adds a row, so that whoever looks on sees it at once.
func (r *results) write(row ...string) error {
	if r == nil {
		return nil
	}
	if err := r.rows.Write(row); err != nil {
		return err
	}
	r.rows.Flush()
	return r.rows.Error()
}

// add notes what became of one upload: what was done, or "left alone" and why.
func (r *results) add(id, what string, a tasks.Action, failure error) error {
	if failure != nil {
		return r.write(id, "left alone", a.Explain(id, failure))
	}
	return r.write(id, what, "")
}

func (r *results) close() error {
	if r == nil {
		return nil
	}
	return r.file.Close()
}

// parseRate reads how many uploads a second, a minute or an hour are meant: "5/s".
func parseRate(text string) (perSecond float64, err error) {
	if text == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseUint(number, 10, 32)
	if !known || err != nil || n == 0 {
		return 0, usagef("--rate: %q is none such as 5/s, 100/m or 1000/h", text)
	}
	return float64(n) / seconds, nil
}
