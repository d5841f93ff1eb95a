package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/internal/config"
)

// What .env.example offers are settings, and docker-compose.yml passes them on.
func TestComposePassesOnWhatTheExampleOffers(t *testing.T) {
	t.Parallel()
	compose, offered := read(t, "../../docker-compose.yml"), read(t, "../../.env.example")
	known := map[string]bool{ // others read these by themselves
		"OTEL_EXPORTER_OTLP_HEADERS": true, "AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true,
	}
	for _, s := range config.Settings() {
		known[s.Env] = true
	}
	name := regexp.MustCompile(`(?m)^ *#?((?:VOUCHERD|PANDAPON|OTEL|AWS)_[A-Z_]+)[:=]`)
	names := name.FindAllStringSubmatch(offered, -1)
	if len(names) < 8 {
		t.Errorf("found only %d settings", len(names))
	}
	for _, m := range names {
		if !known[m[1]] {
			t.Errorf("%s is no setting", m[1])
		}
		if !strings.Contains(compose, m[1]+": ${"+m[1]) {
			t.Errorf("docker-compose.yml does not pass on %s", m[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
