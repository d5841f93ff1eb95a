package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	Targets     []target  `json:"targets"`
	Samples     []sample  `json:"samples"`
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

func (b *bench) result(ctx context.Context) result {
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
	return result{
		Made: time.Now().UTC().Truncate(time.Second), Took: b.spent().Round(time.Second).String(), Machine: m, Quick: b.opts.quick,
		Concurrency: b.opts.concurrency, Targets: targetsOf(b.samples), Samples: b.samples,
	}
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

// about says what was run where.
func (r result) about() string {
	return fmt.Sprintf("Measured on %s: %d CPUs (%s), %s, Redis %s; load average at the end %s. %d calls at a time. It took %s.\n",
		r.Made.Format("2006-01-02"), r.Machine.CPUs, r.Machine.Model, r.Machine.Go, r.Machine.Redis, r.Machine.Load, r.Concurrency, r.Took)
}
