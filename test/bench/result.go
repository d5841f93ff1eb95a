package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// result is a whole run.
type result struct {
	Made        time.Time `json:"made"`
	Took        string    `json:"took"`
	Machine     machine   `json:"machine"`
	Quick       bool      `json:"quick"`
	Concurrency int       `json:"concurrency"`
	Earlier     []earlier `json:"earlier,omitempty"`
	Targets     []target  `json:"targets"`
	Samples     []sample  `json:"samples"`
}

// earlier names a scenario that was measured in another run.
type earlier struct {
	Scenario string    `json:"scenario"`
	Made     time.Time `json:"made"`
	Machine  machine   `json:"machine"`
}

// machine is where it was measured.
type machine struct {
	OS    string `json:"os"`
	CPUs  int    `json:"cpus"`
	Model string `json:"model,omitempty"`
	Go    string `json:"go"`
	Redis string `json:"redis"`
	Load  string `json:"loadAtEnd,omitempty"` // what else it was busy with, the benchmark included
}

func (b *bench) result(ctx context.Context) (result, error) {
	m := machine{OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		model, _, _ := strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
		m.Model = model
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if info, err := b.redis.rdb.Info(ctx, "server").Result(); err == nil {
		_, rest, _ := strings.Cut(info, "redis_version:")
		m.Redis, _, _ = strings.Cut(rest, "\r\n")
	}
	r := result{
		Made: time.Now().UTC().Truncate(time.Second), Took: b.spent().Round(time.Second).String(), Machine: m, Quick: b.opts.quick,
		Concurrency: b.opts.concurrency, Samples: b.samples,
	}
	if b.opts.with != "" {
		if err := r.add(b.opts.with); err != nil {
			return r, err
		}
	}
	r.Targets = targetsOf(r.Samples)
	return r, nil
}

// add takes the scenarios that this run has not measured from an earlier one.
func (r *result) add(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return fmt.Errorf("read the earlier results: %w", err)
	}
	var old result
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("read the earlier results in %s: %w", path, err)
	}
	for _, s := range scenarios() {
		if len(groups(r.Samples, s.name)) > 0 || len(groups(old.Samples, s.name)) == 0 {
			continue
		}
		from := earlier{Scenario: s.name, Made: old.Made, Machine: old.Machine}
		for _, e := range old.Earlier {
			if e.Scenario == s.name {
				from = e
			}
		}
		r.Earlier = append(r.Earlier, from)
		for _, g := range groups(old.Samples, s.name) {
			r.Samples = append(r.Samples, g.samples...)
		}
	}
	return nil
}

// save writes results.json and tables.md into a directory.
func (r result) save(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the directory for results: %w", err)
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	if err = os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644); err == nil { //nolint:gosec // for everybody to read
		err = os.WriteFile(filepath.Join(dir, "tables.md"), []byte(r.about()+r.tables()), 0o644) //nolint:gosec // as above
	}
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// The marks in performance.md between which the program writes.
const (
	docBegin = "<!-- bench: from here on written by the program -->"
	docEnd   = "<!-- bench: up to here -->"
)

// document renews the block that the program writes in performance.md, and the results beside it.
func (r result) document(docs string) error {
	path := filepath.Join(docs, "performance.md")
	text, err := os.ReadFile(path) //nolint:gosec // the user names the directory
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	before, rest, begins := bytes.Cut(text, []byte(docBegin))
	_, after, ends := bytes.Cut(rest, []byte(docEnd))
	if !begins || !ends {
		return fmt.Errorf("%s lacks the marks between which tables belong", path)
	}
	text = slices.Concat(before, []byte(docBegin+"\n\n"+r.about()+r.tables()+"\n"+docEnd), after)
	if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("write the document: %w", err)
	}
	return r.save(filepath.Join(docs, "performance"))
}

// about says what was run where.
func (r result) about() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s: %d CPUs (%s), %s, Redis %s; load average at the end %s. %d calls at a time. It took %s.\n",
		r.Made.Format("2006-01-02"), r.Machine.CPUs, r.Machine.Model, r.Machine.Go, r.Machine.Redis, r.Machine.Load, r.Concurrency, r.Took)
	for _, e := range r.Earlier {
		fmt.Fprintf(&b, "\nFrom a run of %s (%d CPUs, load average at the end %s): %s.\n",
			e.Made.Format("2006-01-02 15:04"), e.Machine.CPUs, e.Machine.Load, find(e.Scenario).title)
	}
	return b.String()
}
