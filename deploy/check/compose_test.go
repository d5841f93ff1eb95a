package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"sigs.k8s.io/yaml"
)

// TestCompose loads the Compose file as docker compose does, with each of its profiles.
func TestCompose(t *testing.T) {
	t.Parallel()
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithName("voucherd"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, profile := range map[string]string{
		"redis": "", "worker": "", "gateway": "", "sandbox": "demo", "prometheus": "observe", "grafana": "observe",
	} {
		service, err := project.GetService(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(service.Profiles, " "); got != profile {
			t.Errorf("%s is of the profile %q, want %q", name, got, profile)
		}
		for _, p := range service.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published beyond this host", name, p.Published)
			}
		}
		for _, v := range service.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil && filepath.Base(v.Source) != "metrics-token" {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
	}
}

// TestPrometheus has Prometheus itself check what the observe profile starts it with.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := filepath.Join(dir, "metrics-token")
	for name, text := range map[string]string{
		"prometheus.yml": strings.ReplaceAll(read(t, "../prometheus/prometheus.yml"), "/run/secrets/metrics-token", token),
		"alerts.yml":     read(t, "../prometheus/alerts.yml"),
		"metrics-token":  "token",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "promtool", "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1 rule files found") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestYAML reads the files that only GitHub and Grafana read.
func TestYAML(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"../../.github/*.yml", "../../.github/*/*.yml", "../grafana/provisioning/*/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			if err := yaml.UnmarshalStrict([]byte(read(t, file)), &map[string]any{}); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
