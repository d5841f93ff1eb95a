package crash_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestReleaseHasNoCrashPoints looks for crash points in the program as it is released.
func TestReleaseHasNoCrashPoints(t *testing.T) {
	t.Parallel()
	words := []string{"CRASH_AT", "CRASH_STEPS"}
	for _, steps := range readPoints(t) {
		for _, step := range steps {
			if strings.HasPrefix(step, "store: ") || strings.HasPrefix(step, "spool: ") { // others are put together
				words = append(words, step)
			}
		}
	}
	for tags, has := range map[string]bool{"": false, "crashpoints": true} {
		binary, err := os.ReadFile(built.with(t, tags))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if bytes.Contains(binary, []byte(w)) != has {
				t.Errorf("with the tags %q, %q is in the program: %v", tags, w, !has)
			}
		}
	}
}

// TestMutantIsCaught has asynq give out a task twice, where the ledger does not check the lease of
// the attempt that runs.
func TestMutantIsCaught(t *testing.T) {
	t.Parallel()
	all := scenarios()
	r := newRun(t, newDatabases(t), all[slices.IndexFunc(all, func(s scenario) bool { return s.name == "redeliver" })])
	r.tags = "crashpoints,mutant"
	r.scenario.prepare(r)
	if r.life(point{}) {
		t.Fatal("it died")
	}
	breaches := r.audit()
	t.Log(breaches)
	if len(breaches) == 0 {
		t.Error("an upload that is sent twice at once goes unnoticed")
	}
}
