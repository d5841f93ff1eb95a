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
var update = flag.Bool("update", false, "write the tables of settings into the reference")

// reference is the document that has the tables of settings.
const reference = "../../docs/reference.md"

// TestReferenceHasTheTablesOfSettings compares the reference's tables with what the program reads
// its settings by.
func TestReferenceHasTheTablesOfSettings(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	is := string(b)
	want := replaceTable(t, is, "settings", table(false))
	want = replaceTable(t, want, "advanced settings", table(true))
	if *update {
		//nolint:gosec // the file is this repository's reference, asked for by -update
		if err := os.WriteFile(reference, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, is); diff != "" {
		t.Errorf("the reference's tables of settings are not the program's; -update writes them (-program +reference):\n%s", diff)
	}
}

// replaceTable replaces what stands between the markers of a name.
func replaceTable(t *testing.T, text, name, table string) string {
	t.Helper()
	begin := "<!-- " + name + ": begin; `go test ./internal/config -run Reference -update` writes what stands here -->\n"
	end := "<!-- " + name + ": end -->"
	before, rest, foundBegin := strings.Cut(text, begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !foundBegin || !foundEnd {
		t.Fatalf("%s has no table between %q and %q", reference, begin, end)
	}
	return before + begin + table + end + after
}

// table writes the settings as Markdown, a table for each section.
func table(advanced bool) string {
	var b strings.Builder
	section := config.Section("")
	for _, s := range config.Settings() {
		if s.Advanced != advanced {
			continue
		}
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n### %s\n\n| Variable | Flag | Default | What it is |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code("", s.Env), code("--", s.Flag), code("", s.Default), cell(s.Help))
	}
	return b.String() + "\n"
}

// code writes a value as code; an empty one leaves the cell empty. Long lists may break at their
// commas.
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
