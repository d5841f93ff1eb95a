package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnits has systemd check the units: that it understands every line, and how exposed they are.
func TestUnits(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob("../systemd/*.service")
	if err != nil || len(units) != 2 {
		t.Fatalf("units %v, %v", units, err)
	}
	dir := t.TempDir()
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// verify wants the program to be there.
		text = []byte(strings.ReplaceAll(string(text), "/usr/bin/voucherd", "/bin/true"))
		file := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		analyze(t, "verify", "--man=no", "--recursive-errors=no", file)
		analyze(t, "security", "--offline=yes", "--threshold=20", "--no-pager", file)
	}
}

func analyze(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	if err != nil || args[0] == "verify" && strings.Contains(string(out), args[len(args)-1]) {
		t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
