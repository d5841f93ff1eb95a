package metrics_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

// TestRunbook holds the alerts, the reasons of an open breaker and the outcomes of attempts against the
// rows of the runbook: each has one in its own chapter, and each row there is of one that exists.
func TestRunbook(t *testing.T) {
	t.Parallel()
	chapters := map[string]string{}
	for part := range strings.SplitSeq("\n"+read(t, "../../docs/operations.md"), "\n## ") {
		title, text, _ := strings.Cut(part, "\n")
		chapters[title] = text
	}
	for title, want := range map[string][]string{
		"When an alert fires":            found(t, deploy+"prometheus/alerts.yml", `- alert: (\w+)`),
		"When a circuit breaker is open": ledger.Reasons(),
		"What an attempt came to":        found(t, "../../ledger/upload.go", `Outcome\w+ +Outcome = "(\w+)"`),
	} {
		rows := map[string]bool{}
		for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(chapters[title], -1) {
			rows[m[1]] = true
		}
		if len(want) < 5 {
			t.Errorf("%s: %q is all there is in the code", title, want)
		}
		for _, w := range want {
			if !rows[w] {
				t.Errorf("%s: there is no row for %s", title, w)
			}
			delete(rows, w)
		}
		for r := range rows {
			t.Errorf("%s: there is no %s any more", title, r)
		}
	}
}

func found(t *testing.T, path, pattern string) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, path), -1) {
		names = append(names, m[1])
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
