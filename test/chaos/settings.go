package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/test/chaos/plan"
)

// settings are the environment variables that workers and producers of a run share. They are all
// that tells a chaos run from real life.
type settings struct {
	vars    []string // as NAME=value, and as printed
	secrets []string // likewise
	cfg     config.Config
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
func compressed() []string {
	return append(strings.Fields(`
		VOUCHERD_CALL_TIMEOUT=2s VOUCHERD_SHUTDOWN_TIMEOUT=3s VOUCHERD_LEASE_MARGIN=3s VOUCHERD_CONCURRENCY=8
		VOUCHERD_SHORT_SCHEDULE=200ms,500ms,1s VOUCHERD_LONG_SCHEDULE=200ms,500ms VOUCHERD_REFUSAL_BUDGET=3
		VOUCHERD_RETRY_AFTER_MIN=100ms VOUCHERD_OUTAGE_BASE=300ms VOUCHERD_OUTAGE_MAX=2s
		VOUCHERD_PROBE_BASE=300ms VOUCHERD_PROBE_MAX=2s VOUCHERD_THROTTLE_BASE=500ms VOUCHERD_THROTTLE_MAX=2s
		VOUCHERD_GRACE=2s VOUCHERD_BEAT_EVERY=300ms VOUCHERD_DEAD_AFTER=2s VOUCHERD_RECONCILE_EVERY=500ms
		VOUCHERD_REDIS_PAUSE=200ms VOUCHERD_HOLD_LIMIT=10s VOUCHERD_ORPHAN_AGE=30s`),
		"PANDAPON_CODES_FINAL="+strconv.Itoa(plan.FinalCode))
}

// newSettings reads the settings of a run as the workers will, and writes the accounts file to dir.
func newSettings(dir string, accounts []account, vars ...string) (s settings, err error) {
	path := filepath.Join(dir, "accounts.yaml")
	s.vars = append(vars, "VOUCHERD_ACCOUNTS_FILE="+path)
	var file strings.Builder
	file.WriteString("accounts:\n")
	for i, a := range accounts {
		env := fmt.Sprintf("CHAOS_SECRET_%d", i+1)
		fmt.Fprintf(&file, "  - {name: %s, accessKey: %s, secretEnv: %s, userId: %q}\n", a.name, a.creds.AccessKey, env, a.creds.UserID)
		s.secrets = append(s.secrets, env+"="+a.creds.Secret.Reveal())
	}
	if err = os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return s, fmt.Errorf("write the accounts file: %w", err)
	}
	in := config.Input{Sections: append(app.StoreSections(), config.Delivery), Given: map[string]config.Given{}}
	for _, v := range s.vars {
		name, text, _ := strings.Cut(v, "=")
		in.Given[name] = config.Given{Name: name, Text: text}
	}
	s.cfg, err = config.Load(in)
	return s, err
}

// environ gives all that a worker sees of the environment.
func (s settings) environ() []string {
	env := append([]string{}, s.secrets...)
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	return append(env, s.vars...)
}

// stopLimit is how long a worker may take to stop.
func (s settings) stopLimit() time.Duration {
	const afterwards = 3 * time.Second // for what asynq and connections need besides
	return s.cfg.Worker.ShutdownTimeout + afterwards
}
