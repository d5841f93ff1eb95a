package metrics_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/voucherd/voucherd/internal/metrics"
	"github.com/voucherd/voucherd/ledger"
)

const deploy = "../../deploy/"

// TestAlertRules runs the rules' own unit tests.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not on PATH: `make test` sees to it, or install the package prometheus")
	}
	cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", deploy+"prometheus/alerts_test.yml")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRulesAndDashboardNameWhatIsExported keeps a renamed metric from silencing an alert.
func TestRulesAndDashboardNameWhatIsExported(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.WatchAccounts(&accounts{})
	m.Attempted("default", ledger.OutcomeDelivered, time.Second)
	m.Repaired("default", 1)
	m.Enqueued("accepted", time.Second)
	m.WebhookSent("default", "delivered", time.Second)
	m.WebhookLag("default", time.Second)
	exported := scrape(t, m)
	series := regexp.MustCompile(`voucherd_[a-z_]+[a-z]`)
	for _, file := range []string{"prometheus/alerts.yml", "grafana/voucherd.json"} {
		text, err := os.ReadFile(deploy + file)
		if err != nil {
			t.Fatal(err)
		}
		names := series.FindAllString(string(text), -1)
		if len(names) < 5 {
			t.Errorf("%s names %d series only", file, len(names))
		}
		for _, n := range names {
			if n != "voucherd_redis_errors_total" && !regexp.MustCompile(`(?m)^`+n+`[{ ]`).MatchString(exported) {
				t.Errorf("%s names %s, which is not exported", file, n)
			}
		}
	}
}
