package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// session is one run of the program: its streams, its environment, and what was typed.
type session struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
	fromEnv        map[string]string // flags that took their value from a variable
	grammar        *cli
	model          *kong.Application // all commands
	command        *kong.Context     // nil until it is known
	hangups        chan os.Signal    // SIGHUP, of commands that read their accounts again then; nil: none does
	unknownSaid    bool              // unknown variables were named, or logged
}

// getenv gives a variable of the environment; the last one counts, as with os.Getenv.
func (s *session) getenv(name string) string {
	value := ""
	for _, e := range s.env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// who names whoever sits at the command line for the records: the system's user, and the host.
func (s *session) who(reason string) ledger.Who {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return ledger.Who{By: name + "@" + host, Reason: reason}
}

// isTerminal says whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// silent ends a command with an exit code when all has been said already.
type silent int

func (s silent) Error() string { return "exit code " + strconv.Itoa(int(s)) }

// fail prints an error, in one sentence, and gives its exit code.
func (s *session) fail(err error) int {
	var quiet silent
	var usage *usageError
	var settings *config.Error
	var invalid *tasks.InvalidError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &quiet):
		return int(quiet)
	}
	if errors.Is(err, context.Canceled) {
		if errors.Is(err, tasks.ErrNotEnqueued) {
			fmt.Fprintln(s.stderr, "voucherd: stopped:", tasks.ErrNotEnqueued)
		} else {
			fmt.Fprintln(s.stderr, "voucherd: stopped before the end")
		}
		return exitInterrupted
	}
	if errors.Is(err, ledger.ErrNotFound) {
		err = fmt.Errorf("%w; a key is an upload id, an order id or a request id", err)
	}
	fmt.Fprintln(s.stderr, "voucherd:", err)
	switch {
	case errors.As(err, &usage), errors.As(err, &settings):
		return exitUsage
	case errors.As(err, &invalid) && invalid.Field != "voucher":
		return exitUsage
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, tasks.ErrUnknownAccount):
		return exitNotFound
	default:
		return exitFailed
	}
}

// settingFlags makes the flags of some sections of the table of settings. All are plain text: the
// table reads them, so that every fault is reported at once.
func settingFlags(sections []config.Section) kong.Plugins {
	var fields []reflect.StructField
	for i, s := range config.Settings() {
		if s.Flag == "" || !s.In(sections) {
			continue
		}
		var tag strings.Builder
		for _, t := range [][2]string{
			{"name", s.Flag},
			{"help", upperFirst(s.Help) + "."},
			{"placeholder", s.Value},
			{"group", string(s.Section)},
			{envTag, s.Env},
			{defaultTag, s.Default},
		} {
			fmt.Fprintf(&tag, "%s:%q ", t[0], t[1])
		}
		if s.Advanced {
			tag.WriteString(`hidden:"" `)
		}
		fields = append(fields, reflect.StructField{
			Name: "Setting" + strconv.Itoa(i), Type: reflect.TypeFor[string](), Tag: reflect.StructTag(tag.String()),
		})
	}
	return kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// given gathers the settings that were typed as flags or stand in the environment.
func (s *session) given() map[string]config.Given {
	given := map[string]config.Given{}
	for _, set := range config.Settings() {
		if v := s.getenv(set.Env); v != "" {
			given[set.Env] = config.Given{Name: set.Env, Text: v}
		}
	}
	for _, p := range s.command.Path {
		if p.Flag == nil || p.Resolved || !p.Flag.Tag.Has(envTag) {
			continue
		}
		if text, ok := s.command.FlagValue(p.Flag).(string); ok {
			given[p.Flag.Tag.Get(envTag)] = config.Given{Name: "--" + p.Flag.Name, Text: text}
		}
	}
	return given
}

// load reads the settings of some sections.
func (s *session) load(sections []config.Section) (config.Config, error) {
	return config.Load(config.Input{Sections: sections, Given: s.given(), Env: s.getenv})
}
