package main_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, tc := range []struct {
		code int
		args string
		says string
	}{
		{2, "", "voucherd demo"},
		{2, "deliver", "there is no command deliver; the commands are demo, worker,"},
		{2, "show", "<key>"},
		{2, "show --colour x", "unknown flag --colour"},
		{2, "list --state lost", `"lost"`},
		{2, "list --since yesterday", "--since"},
		{2, "list --limit 0", "--limit"},
		{2, "list --limit many", "--limit"},
		{2, "export --format xml", "xml"},
		{2, "retry", "--state"},
		{2, "retry --state delivered", "delivered uploads cannot be retried"},
		{2, "retry x --state rejected", "exclude each other"},
		{2, "discard --state sending", "sending uploads cannot be discarded"},
		{2, "sign x.jpg", "--order"},
		{2, "sandbox --fault nonsense", "nonsense"},
		{2, "demo --voucher x.jpg", "--order"},
		{2, "gateway --tokens-file nowhere", "voucherd token new"},
		{3, "show never-heard-of", "never-heard-of"},
		{3, "retry never-heard-of", "never-heard-of"},
		{3, "discard --yes never-heard-of", "never-heard-of"},
		{0, "version", "voucherd"},
		{0, "--version", "voucherd"},
		{0, "list --account nobody", "No upload matches"},
		{0, "retry --state rejected --account nobody", "0 uploads"},
	} {
		var args []string
		if tc.args != "" {
			args = strings.Fields(tc.args)
		}
		want(t, b.run(args...), tc.code, tc.says)
	}
}

// commands lists the commands that --help names.
func commands(t *testing.T, b *bench) []string {
	t.Helper()
	_, list, _ := strings.Cut(b.must(0, "--help").stdout, "Commands:\n")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) +\S`).FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	if len(names) < 12 {
		t.Fatalf("--help names only %v", names)
	}
	return names
}

func TestHelpNamesEveryVariableAndNoSecret(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "PANDAPON_ACCESS_SECRET="+secret, "VOUCHERD_REDIS_URL=redis://:"+secret+"@127.0.0.1:1/0")
	for _, name := range commands(t, b) {
		o := b.must(0, name, "--help")
		if strings.Contains(o.stdout, "${") {
			t.Errorf("%s --help shows a placeholder:\n%s", name, o.stdout)
		}
		text := regexp.MustCompile(`\s+`).ReplaceAllString(o.stdout, " ")
		flags := regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([a-z-]+)`).FindAllStringSubmatch(o.stdout, -1)
		variables := regexp.MustCompile(`\$(VOUCHERD|PANDAPON)_[A-Z_]+(; |\))|\$(VOUCHERD|PANDAPON)_[A-Z_]+\)`).FindAllString(text, -1)
		if len(flags)-1 != len(variables) { // all but --help
			t.Errorf("%s --help shows %d flags and %d variables:\n%s", name, len(flags)-1, len(variables), o.stdout)
		}
	}
}

func TestFlagsComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	b.env = append(b.env, "VOUCHERD_ORDER="+order, "VOUCHERD_JSON=true", "VOUCHERD_REFERENCE=from outside")
	u := upload(t, b.must(0, "enqueue", file).stdout)
	if u.OrderID != order || u.Reference != "from outside" {
		t.Errorf("got %+v", u)
	}
	flagged := upload(t, b.must(0, "enqueue", "--order", "another", file).stdout)
	if flagged.OrderID != "another" {
		t.Errorf("the flag did not win over the variable: %+v", flagged)
	}
	b.env = append(b.env, "VOUCHERD_LIMIT=plenty")
	want(t, b.run("list"), 2, "VOUCHERD_LIMIT")
}

func TestHelpHidesAdvancedSettings(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	help := b.must(0, "worker", "--help").stdout
	shown := 0
	for _, s := range config.Settings() {
		if s.Flag == "" || !s.In(app.WorkerSections()) || s.In([]config.Section{config.Intake}) {
			continue
		}
		stands := strings.Contains(help, "--"+s.Flag+"=")
		if stands == s.Advanced {
			t.Errorf("--%s is advanced: %t, in the help: %t", s.Flag, s.Advanced, stands)
		}
		if stands {
			shown++
		}
	}
	if shown > 33 {
		t.Errorf("the help shows %d settings", shown)
	}
	b.want(b.run("worker", "--grace", "nonsense"), 2, "--grace:") // hidden, and still a flag
}
