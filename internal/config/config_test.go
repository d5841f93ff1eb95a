package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/worker"
)

// all are the sections but Account, which wants credentials.
func all() []config.Section {
	return []config.Section{
		config.Connection, config.Intake, config.Delivery, config.Retries, config.Breaker, config.Keeping, config.Upkeep, config.Webhooks, config.Logging,
	}
}

// load reads settings given as variables.
func load(sections []config.Section, env map[string]string) (config.Config, error) {
	given := map[string]config.Given{}
	for name, text := range env {
		given[name] = config.Given{Name: name, Text: text}
	}
	return config.Load(config.Input{Sections: sections, Given: given, Env: func(name string) string { return env[name] }})
}

// faults gives what Load complained about, by name.
func faults(t *testing.T, err error) map[string]string {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) {
		t.Fatalf("want a *config.Error, got %v", err)
	}
	found := map[string]string{}
	for _, f := range e.Faults {
		found[f.Name] = f.Reason
	}
	return found
}

func TestTheTableIsWellFormed(t *testing.T) {
	t.Parallel()
	flag, env := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`), regexp.MustCompile(`^(VOUCHERD|PANDAPON|OTEL)(_[A-Z]+)+$`)
	seen := map[string]bool{}
	for _, s := range config.Settings() {
		if s.Flag != "" && !flag.MatchString(s.Flag) || !env.MatchString(s.Env) || s.Value == "" || s.Section == "" {
			t.Errorf("malformed: %+v", s)
		}
		if s.Help == "" || strings.HasSuffix(s.Help, ".") {
			t.Errorf("%s: the help is one sentence without its full stop: %q", s.Env, s.Help)
		}
		if s.Flag != "" && seen["--"+s.Flag] || seen[s.Env] {
			t.Errorf("%s or --%s stands twice", s.Env, s.Flag)
		}
		seen["--"+s.Flag], seen[s.Env] = true, true
	}
}

// The table's defaults are those of the packages, so that a program built on these behaves as the
// command line does.
func TestDefaultsAreThoseOfThePackages(t *testing.T) {
	t.Parallel()
	cfg, err := load(all(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ledger.New(nil, ledger.Settings{}).Settings(), cfg.Ledger, cmpopts.IgnoreUnexported(ledger.Settings{})); diff != "" {
		t.Errorf("ledger: %s", diff)
	}
	if diff := cmp.Diff(worker.Policy{}.WithDefaults(), cfg.Policy, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("policy: %s", diff)
	}
	byHand := worker.Settings{}.WithDefaults()
	byHand.PollEvery = 0                              // no setting
	byHand.Name, byHand.TaskRetention = "", time.Hour // the command line names the worker, and shows tasks for an hour
	if diff := cmp.Diff(byHand, cfg.Worker); diff != "" {
		t.Errorf("worker: %s", diff)
	}
	if diff := cmp.Diff(tasks.DefaultMediaTypes(), cfg.MediaTypes); diff != "" || cfg.MaxVoucherBytes != tasks.DefaultMaxVoucherBytes {
		t.Errorf("vouchers: %d %s", cfg.MaxVoucherBytes, diff)
	}
	if cfg.RedisURL != "redis://127.0.0.1:6379/0" || cfg.Store != "redis:" || cfg.TaskRetention != time.Hour {
		t.Errorf("got %+v", cfg)
	}
}

// Every number of the packages is a setting: one that cannot be set would be missed here.
func TestEverySettingReachesItsField(t *testing.T) {
	t.Parallel()
	plain, err := load(all(), nil)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{
		"VOUCHERD_ENCRYPT_TO": identity.Recipient().String(), "VOUCHERD_IDENTITY_FILE": write(t, identity.String()+"\n"),
		"VOUCHERD_REDIS_URL": "rediss://h:1/2", "VOUCHERD_STORE": "file:///v", "VOUCHERD_MAX_VOUCHER_BYTES": "3KB", "VOUCHERD_SPOOL_MOST": "3GiB",
		"VOUCHERD_MEDIA_TYPES": "image/png", "VOUCHERD_CONCURRENCY": "3", "VOUCHERD_RATE": "3/s", "VOUCHERD_WORKER_NAME": "w", "VOUCHERD_LOG": "debug",
		"VOUCHERD_LOG_FORMAT": "console", "VOUCHERD_SHORT_SCHEDULE": "1s, 2s", "VOUCHERD_LONG_SCHEDULE": "3s", "VOUCHERD_JITTER": "0",
		"PANDAPON_CODES_FINAL": "1, 2", "PANDAPON_CODES_THROTTLED": "3", "PANDAPON_CODES_CREDENTIALS": "-4",
		"VOUCHERD_RETRY_AFTER_MAX": "7d", "VOUCHERD_OUTAGE_MAX": "7d", "VOUCHERD_PROBE_MAX": "7d", "VOUCHERD_THROTTLE_MAX": "7d",
		"VOUCHERD_SHUTDOWN_TIMEOUT": "7d", "VOUCHERD_BEAT_EVERY": "3s", "VOUCHERD_WEBHOOK_URL": "https://h", "VOUCHERD_WEBHOOK_ALLOW_PRIVATE": "yes",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:1/p",
	}
	for _, s := range config.Settings() {
		if s.Section == config.PandaPon || s.Env == "VOUCHERD_CONCURRENCY" {
			continue // needs credentials, and has tests of its own
		}
		text, named := other[s.Env]
		if !named {
			if text = "47s"; s.Value == "N" {
				text = "47"
			}
		}
		cfg, err := load(all(), map[string]string{s.Env: text})
		if err != nil {
			t.Errorf("%s=%s: %v", s.Env, text, err)
			continue
		}
		if cmp.Equal(plain, cfg, cmp.Exporter(func(reflect.Type) bool { return true })) {
			t.Errorf("%s=%s changes nothing", s.Env, text)
		}
	}
}

func TestFaultsAreReportedTogetherByTheNameTyped(t *testing.T) {
	t.Parallel()
	given := map[string]config.Given{
		"VOUCHERD_REDIS_URL":         {Name: "--redis", Text: "http://:hunter2@x"},
		"VOUCHERD_CONCURRENCY":       {Name: "--concurrency", Text: "many"},
		"VOUCHERD_CALL_TIMEOUT":      {Name: "VOUCHERD_CALL_TIMEOUT", Text: "90s"},
		"VOUCHERD_SHUTDOWN_TIMEOUT":  {Name: "--shutdown-timeout", Text: "90s"},
		"VOUCHERD_OUTAGE_BASE":       {Name: "VOUCHERD_OUTAGE_BASE", Text: "2m"},
		"VOUCHERD_SHORT_SCHEDULE":    {Name: "VOUCHERD_SHORT_SCHEDULE", Text: "5s,,10s"},
		"VOUCHERD_MEDIA_TYPES":       {Name: "VOUCHERD_MEDIA_TYPES", Text: "image/jpg"},
		"VOUCHERD_MAX_VOUCHER_BYTES": {Name: "VOUCHERD_MAX_VOUCHER_BYTES", Text: "9999999MiB"},
		"PANDAPON_CODES_FINAL":       {Name: "PANDAPON_CODES_FINAL", Text: "200"},
		"VOUCHERD_LOG":               {Name: "VOUCHERD_LOG", Text: "loud"},
	}
	_, err := config.Load(config.Input{Sections: all(), Given: given})
	found := faults(t, err)
	for _, name := range []string{
		"--redis", "--concurrency", "--shutdown-timeout", "VOUCHERD_OUTAGE_MAX", "VOUCHERD_SHORT_SCHEDULE", "VOUCHERD_MEDIA_TYPES",
		"VOUCHERD_MAX_VOUCHER_BYTES", "PANDAPON_CODES_FINAL", "VOUCHERD_LOG",
	} {
		if found[name] == "" {
			t.Errorf("no word about %s in:\n%v", name, err)
		}
		delete(found, name)
	}
	if len(found) > 0 {
		t.Errorf("complaints nobody expected: %v", found)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password was printed: %v", err)
	}
}

func TestTheAccountMakesTheDefaultAccount(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"PANDAPON_ACCESS_KEY": "k", "PANDAPON_USER_ID": "u", "PANDAPON_ACCESS_SECRET_FILE": write(t, "s3cret\r\n"),
		"PANDAPON_BASE_URL": "http://api.example.com", "PANDAPON_UPLOAD_PATH": "/up", "VOUCHERD_CONCURRENCY": "3",
	}
	cfg, err := load([]config.Section{config.PandaPon, config.Delivery}, env)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Account{{
		Name: "default", Credentials: pandapon.Credentials{AccessKey: "k", UserID: "u", Secret: "s3cret"},
		BaseURL: "http://api.example.com", UploadPath: "/up", Concurrency: 3,
	}}
	if diff := cmp.Diff(want, cfg.Accounts); diff != "" {
		t.Error(diff)
	}
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "unencrypted") {
		t.Errorf("no warning about http: %v", cfg.Warnings)
	}
	for url, warned := range map[string]bool{
		"http://127.0.0.1:1": false, "http://[::1]:1": false, "http://10.0.0.7": false, "http://sandbox:8090": false,
		"http://localhost": false, "https://api.example.com": false, "http://8.8.8.8": true,
	} {
		env["PANDAPON_BASE_URL"] = url
		cfg, err := load([]config.Section{config.PandaPon}, env)
		if err != nil || len(cfg.Warnings) > 0 != warned {
			t.Errorf("%s: warnings %v, error %v", url, cfg.Warnings, err)
		}
	}
}

func TestMissingAndDoubleSecrets(t *testing.T) {
	t.Parallel()
	account := []config.Section{config.PandaPon}
	found := faults(t, second(load(account, nil)))
	for _, name := range []string{"PANDAPON_ACCESS_KEY", "PANDAPON_USER_ID", "PANDAPON_ACCESS_SECRET"} {
		if !strings.Contains(found[name], "is not set") {
			t.Errorf("%s: %q", name, found[name])
		}
	}
	for says, env := range map[string]map[string]string{
		"is set too":         {"PANDAPON_ACCESS_SECRET": "x", "PANDAPON_ACCESS_SECRET_FILE": write(t, "y")},
		"no such file":       {"PANDAPON_ACCESS_SECRET_FILE": "/nowhere/at/all"},
		"holds no secret":    {"PANDAPON_ACCESS_SECRET_FILE": write(t, "\n")},
		"more than one line": {"PANDAPON_ACCESS_SECRET_FILE": write(t, "a\nb\n")},
		"larger than":        {"PANDAPON_ACCESS_SECRET_FILE": write(t, strings.Repeat("x", 2<<20))},
	} {
		env["PANDAPON_ACCESS_KEY"], env["PANDAPON_USER_ID"] = "k", "u"
		if got := faults(t, second(load(account, env)))["PANDAPON_ACCESS_SECRET_FILE"]; !strings.Contains(got, says) {
			t.Errorf("want %q, got %q", says, got)
		}
	}
}

func second(_ config.Config, err error) error { return err }

// write writes a file of the test's own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
