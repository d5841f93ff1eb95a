package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// settings are the environment variables that workers and producers of a run share. They are all
// that tells a chaos run from real life.
type settings struct {
	vars   [][2]string // as printed
	hidden []string    // secrets
	cfg    config.Config
}

// account is one account and what it signs with.
type account struct {
	name  string
	creds pandapon.Credentials
}

// accounts gives the accounts of a run. Their secrets are made up, and easy to find where they must
// not stand.
func accounts(names ...string) []account {
	var all []account
	for i, name := range names {
		n := strconv.Itoa(i + 1)
		all = append(all, account{name, pandapon.Credentials{
			AccessKey: "chaoskey" + n + strings.Repeat("0", 8), Secret: pandapon.Secret("chaos-secret-" + n + "-must-not-leak"),
			UserID: "210000734120" + n,
		}})
	}
	return all
}

// compressed are schedules and time limits that fit days of trouble into a minute.
func compressed() [][2]string {
	return [][2]string{
		{"VOUCHERD_CALL_TIMEOUT", "2s"},
		{"VOUCHERD_SHUTDOWN_TIMEOUT", "3s"},
		{"VOUCHERD_LEASE_MARGIN", "3s"},
		{"VOUCHERD_CONCURRENCY", "8"},
		{"VOUCHERD_SHORT_SCHEDULE", "200ms,500ms,1s"},
		{"VOUCHERD_LONG_SCHEDULE", "200ms,500ms"},
		{"VOUCHERD_REFUSAL_BUDGET", "3"},
		{"PANDAPON_CODES_FINAL", strconv.Itoa(plan.FinalCode)},
		{"VOUCHERD_RETRY_AFTER_MIN", "100ms"},
		{"VOUCHERD_OUTAGE_BASE", "300ms"},
		{"VOUCHERD_OUTAGE_MAX", "2s"},
		{"VOUCHERD_PROBE_BASE", "300ms"},
		{"VOUCHERD_PROBE_MAX", "2s"},
		{"VOUCHERD_THROTTLE_BASE", "500ms"},
		{"VOUCHERD_THROTTLE_MAX", "2s"},
		{"VOUCHERD_GRACE", "2s"},
		{"VOUCHERD_FIRST_LOOK", "2s"},
		{"VOUCHERD_LONG_LOOK", "10s"},
		{"VOUCHERD_RECONCILE_EVERY", "500ms"},
		{"VOUCHERD_REDIS_PAUSE", "200ms"},
		{"VOUCHERD_HOLD_LIMIT", "10s"},
		{"VOUCHERD_ORPHAN_AGE", "30s"},
	}
}

// newSettings reads the settings of a run as the workers will, and writes the accounts file to dir.
func newSettings(dir string, accounts []account, vars [][2]string) (settings, error) {
	s := settings{vars: append(vars, [2]string{"VOUCHERD_ACCOUNTS_FILE", filepath.Join(dir, "accounts.yaml")})}
	var file strings.Builder
	file.WriteString("accounts:\n")
	for i, a := range accounts {
		env := fmt.Sprintf("CHAOS_SECRET_%d", i+1)
		fmt.Fprintf(&file, "  - {name: %s, accessKey: %s, secretEnv: %s, userId: %q}\n", a.name, a.creds.AccessKey, env, a.creds.UserID)
		s.hidden = append(s.hidden, env+"="+a.creds.Secret.Reveal())
	}
	if err := os.WriteFile(filepath.Join(dir, "accounts.yaml"), []byte(file.String()), 0o600); err != nil {
		return s, fmt.Errorf("write the accounts file: %w", err)
	}
	in := config.Input{
		Sections: []config.Section{
			config.Connection, config.Intake, config.Delivery, config.Retries, config.Breaker, config.Keeping, config.Upkeep,
		},
		Given: map[string]config.Given{},
	}
	for _, v := range s.vars {
		in.Given[v[0]] = config.Given{Name: v[0], Text: v[1]}
	}
	var err error
	if s.cfg, err = config.Load(in); err != nil {
		return s, fmt.Errorf("read the settings: %w", err)
	}
	return s, nil
}

// environ gives all that a worker sees of the environment.
func (s settings) environ() []string {
	env := slices.Clone(s.hidden)
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	for _, v := range s.vars {
		env = append(env, v[0]+"="+v[1])
	}
	return env
}

// stopLimit is how long a worker may take to stop.
func (s settings) stopLimit() time.Duration {
	const afterwards = 3 * time.Second // for what asynq and connections need besides
	return s.cfg.Worker.ShutdownTimeout + afterwards
}

func (s settings) String() string {
	var all []string
	for _, v := range s.vars {
		all = append(all, strings.TrimPrefix(v[0], "VOUCHERD_")+"="+v[1])
	}
	return strings.Join(all, " ")
}
