package config_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/internal/config"
)

//nolint:gochecknoglobals // a flag of the test binary must be known before the tests run
var update = flag.Bool("update", false, "write the table of settings into the README")

const (
	readme     = "../../README.md"
	tableBegin = "<!-- settings: begin; `go test ./internal/config -run Readme -update` writes what stands here -->\n"
	tableEnd   = "<!-- settings: end -->"
)

// TestReadmeHasTheTableOfSettings compares the README's table with the one that the program reads its settings by.
func TestReadmeHasTheTableOfSettings(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, foundBegin := strings.Cut(string(b), tableBegin)
	is, after, foundEnd := strings.Cut(rest, tableEnd)
	if !foundBegin || !foundEnd {
		t.Fatalf("the README has no table between %q and %q", tableBegin, tableEnd)
	}
	want := table()
	if *update {
		//nolint:gosec // the file is this repository's README, asked for by -update
		if err := os.WriteFile(readme, []byte(before+tableBegin+want+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, is); diff != "" {
		t.Errorf("the README's table of settings is not the program's; -update writes it (-program +README):\n%s", diff)
	}
}

// table writes the settings as Markdown, a table for each section.
func table() string {
	var b strings.Builder
	section := config.Section("")
	for _, s := range config.Settings() {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n#### %s\n\n| Variable | Flag | Default | What it is |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code("", s.Env), code("--", s.Flag), code("", s.Default), cell(s.Help))
	}
	return b.String() + "\n"
}

// code writes a value as code; an empty one leaves the cell empty. Long lists may break at their commas.
func code(before, value string) string {
	if value == "" {
		return ""
	}
	if len(value) > 45 {
		return "`" + strings.ReplaceAll(cell(value), ",", "`, `") + "`"
	}
	return "`" + before + cell(value) + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
