// Package config holds every setting of voucherd in one table: its names, its default, its help,
// and how its text is read. The command line, the checks and the tables of docs/reference.md all
// come from it.
package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/events"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/worker"
)

// Config is every setting, read and checked. What belongs to sections that were not asked for has
// its default.
type Config struct {
	RedisURL string
	Store    string // as blob.Open takes it
	Keys     blob.Keys

	MaxVoucherBytes int64
	MediaTypes      []string
	RedisWait       time.Duration // how long a producer tries again while Redis is away; 0: not at all
	Spool           string        // directory in which vouchers wait while Redis is away; "": none
	SpoolMost       int64         // bytes
	ReplicasAck     int           // replicas that must have an upload before it counts as accepted
	TaskRetention   time.Duration // how long asynq shows a finished task; 0: not at all

	Ledger ledger.Settings
	Policy worker.Policy
	Worker worker.Settings

	Rule     pandapon.SignRule
	Accounts []Account // only where the account was asked for

	LogDebug  bool
	LogFormat string // one of LogAuto, LogJSON, LogConsole; "" is LogAuto

	// TracesTo is the URL that traces are sent to; "": nowhere.
	TracesTo string

	// Files are those that were read: the accounts file, and files of secrets.
	Files []File

	// Warnings are sentences about what is allowed and seldom meant.
	Warnings []string

	account      account
	webhook      webhook
	accountsFile string
	concurrency  int
	rate         ledger.Rate
}

// The forms of a log.
const (
	LogAuto    = "auto" // for people on a terminal, for programs elsewhere
	LogJSON    = "json"
	LogConsole = "console"
)

// InlineMost is up to which size vouchers are kept with their records: only where those lie in the
// same Redis.
func (c Config) InlineMost() int64 {
	if c.Store == "redis:" {
		return ledger.InlineMost
	}
	return 0
}

// Account is one PandaPon access key with its secret, and how it is used.
type Account struct {
	Name        string
	Credentials pandapon.Credentials
	BaseURL     string
	UploadPath  string
	Concurrency int
	Rate        ledger.Rate
	Webhook     events.Webhook // without a URL: none
}

// account is what the PANDAPON_ settings say; it makes the account `default`.
type account struct {
	baseURL, uploadPath string
	accessKey, userID   string
	secret              pandapon.Secret
	secretFile          string
}

// Given is the text that a user gave for a setting, and the name that the user gave it by: a flag
// ("--redis") or a variable ("VOUCHERD_REDIS_URL").
type Given struct{ Name, Text string }

// Input is what Load reads from.
type Input struct {
	Sections []Section           // those that the command has
	Given    map[string]Given    // by Setting.Env
	Env      func(string) string // looks up variables that an accounts file names; nil: there are none
}

// Fault is one thing that is wrong with the settings.
type Fault struct {
	Name   string // as the user typed it
	Reason string
}

// Error is everything that is wrong with the settings.
type Error struct{ Faults []Fault }

func (e *Error) Error() string {
	if len(e.Faults) == 1 {
		return e.Faults[0].Name + ": " + e.Faults[0].Reason
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are not right:", len(e.Faults))
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "\n  %s: %s", f.Name, f.Reason)
	}
	return b.String()
}

// Load reads and checks the settings of some sections. The error is an *Error with every fault
// found; of the Config only Files are right then.
func Load(in Input) (Config, error) {
	l := loader{in: in, good: map[string]bool{}}
	for _, s := range settingsOf(&l.cfg) {
		if s.In(in.Sections) {
			l.read(s)
		} else if err := s.read(s.Default); err != nil && s.Default != "" {
			return Config{}, fmt.Errorf("default of %s: %w", s.Env, err)
		}
	}
	l.crossCheck()
	if env := in.Env; env != nil && (env("OTEL_SDK_DISABLED") == "true" || env("OTEL_TRACES_EXPORTER") == "none") {
		l.cfg.TracesTo = ""
	}
	if PandaPon.in(in.Sections) {
		l.accounts()
	}
	if len(l.faults) > 0 {
		return Config{Files: l.cfg.Files}, &Error{Faults: l.faults}
	}
	return l.cfg, nil
}

// loader collects what is right and what is wrong.
type loader struct {
	in     Input
	cfg    Config
	faults []Fault
	good   map[string]bool // settings that could be read, by variable
}

func (l *loader) fault(name, format string, args ...any) {
	l.faults = append(l.faults, Fault{Name: name, Reason: fmt.Sprintf(format, args...)})
}

// read reads one setting: what was given, else its default.
func (l *loader) read(s Setting) {
	text := s.Default
	g, given := l.in.Given[s.Env]
	if given {
		text = strings.TrimSpace(g.Text)
	}
	if text == "" && !given {
		l.good[s.Env] = true
		return
	}
	if err := s.read(text); err != nil {
		l.fault(l.name(s.Env), "%s", err)
		return
	}
	l.good[s.Env] = true
}

// name is what the user called a setting.
func (l *loader) name(env string) string {
	if g, ok := l.in.Given[env]; ok {
		return g.Name
	}
	return env
}

// given says whether the user gave a setting.
func (l *loader) given(env string) bool {
	_, ok := l.in.Given[env]
	return ok
}
