package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
)

// The exit codes. Whoever stops a command with Ctrl-C gets what a shell gives for it.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUndelivered = 4
	exitInterrupted = 130
)

// cli is the whole command line.
type cli struct {
	Color string `help:"Colours: auto (on a terminal, without $NO_COLOR), always or never." enum:"auto,always,never" default:"auto" placeholder:"WHEN"`

	Demo       demoCmd       `cmd:"" help:"Show vouchers surviving an outage; needs nothing but this program."`
	Worker     workerCmd     `cmd:"" help:"Deliver what was enqueued, until stopped."`
	Gateway    gatewayCmd    `cmd:"" help:"Take vouchers over HTTP, until stopped."`
	Enqueue    enqueueCmd    `cmd:"" help:"Enqueue a voucher, or many."`
	Show       showCmd       `cmd:"" help:"Show an upload and its attempts."`
	List       listCmd       `cmd:"" help:"List uploads, newest first."`
	Retry      retryCmd      `cmd:"" help:"Send rejected and expired uploads again, waiting ones now."`
	Discard    discardCmd    `cmd:"" help:"Give up on uploads that are not being sent."`
	Accounts   accountsCmd   `cmd:"" help:"Show each account, pause and resume one."`
	Incident   incidentCmd   `cmd:"" help:"Say what went wrong lately, as a text for PandaPon's support."`
	Rebuild    rebuildCmd    `cmd:"" help:"Make the ledger's indexes anew, and put every undelivered upload of a file or S3 store back into a Redis that lost them."`
	Rotate     rotateCmd     `cmd:"" help:"Encrypt what waits to the recipients of today."`
	Doctor     doctorCmd     `cmd:"" help:"Check Redis, clock, blob store and accounts, and say what to do."`
	Export     exportCmd     `cmd:"" help:"Write the whole ledger, oldest first, for audits."`
	Sign       signCmd       `cmd:"" help:"Print an upload's signed request as a curl command."`
	Token      tokenCmd      `cmd:"" help:"Make tokens for the gateway."`
	Sandbox    sandboxCmd    `cmd:"" help:"Run a stand-in for PandaPon's API that checks calls and fails on demand."`
	Completion completionCmd `cmd:"" help:"Print what a shell completes commands and flags by."`
	Version    versionCmd    `cmd:"" help:"Print version, commit and Go version; so does --version."`
}

const about = `Delivers payment vouchers to PandaPon, through any outage, and says of every voucher what happened.

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 (--wait) ended undelivered.`

// errHelp ends the parsing once help was printed.
var errHelp = errors.New("help was printed")

// Run runs one command and gives the exit code. env is as os.Environ gives it; nothing else is read
// from the process.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	s := &session{stdin: stdin, stdout: stdout, stderr: stderr, env: env, fromEnv: map[string]string{}}
	parser, err := newParser(s)
	if err != nil {
		return s.fail(fmt.Errorf("build the command line: %w", err))
	}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "voucherd: say what to do; `voucherd demo` is a good start, `voucherd --help` lists everything")
		return exitUsage
	}
	s.model = parser.Model
	if args[0] == "--version" {
		args = []string{"version"}
	}
	command, err := parser.Parse(args)
	former := s.formerNames(args)
	switch {
	case errors.Is(err, errHelp):
		return exitDone
	case len(former) > 0:
		return s.fail(&config.Error{Faults: former})
	case err != nil:
		s.sayUnknown() // the flag that is missing may be among them
		return s.fail(s.usage(err))
	}
	s.command = command
	ctx, done := s.heedHangups(ctx)
	defer done()
	command.BindTo(ctx, (*context.Context)(nil))
	if name := command.Selected().Name; name != "worker" && name != "gateway" { // these have a log for it
		s.sayUnknown()
	}
	err = command.Run(s)
	s.sayUnknown()
	return s.fail(err)
}

func newParser(s *session) (*kong.Kong, error) {
	s.grammar = &cli{
		Worker:  workerCmd{Plugins: settingFlags(workerSections())},
		Gateway: gatewayCmd{Plugins: settingFlags(gatewaySections())},
		Enqueue: enqueueCmd{Plugins: settingFlags(producerSections())},
		Show:    showCmd{Plugins: settingFlags(querySections())},
		List:    listCmd{Plugins: settingFlags(querySections())},
		Retry:   retryCmd{Plugins: settingFlags(querySections())},
		Discard: discardCmd{Plugins: settingFlags(querySections())},
		Accounts: accountsCmd{
			List:   accountsListCmd{Plugins: settingFlags(querySections())},
			Pause:  accountsPauseCmd{Plugins: settingFlags(querySections())},
			Resume: accountsResumeCmd{Plugins: settingFlags(querySections())},
		},
		Incident: incidentCmd{Plugins: settingFlags(querySections())},
		Rebuild:  rebuildCmd{Plugins: settingFlags(querySections())},
		Rotate:   rotateCmd{Plugins: settingFlags(querySections())},
		Doctor:   doctorCmd{Plugins: settingFlags(querySections())},
		Export:   exportCmd{Plugins: settingFlags(querySections())},
		Sign:     signCmd{Plugins: settingFlags(signSections())},
	}
	return kong.New(s.grammar,
		kong.Name("voucherd"), kong.Description(about),
		kong.Vars{"uploadPath": pandapon.DefaultUploadPath, "signParts": "access-key,timestamp,nonce-str,secret"},
		kong.Writers(s.stdout, s.stderr), kong.Exit(func(int) {}),
		kong.Resolvers(kong.ResolverFunc(s.resolve)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 120}),
		kong.ValueFormatter(formatHelp),
		kong.Help(func(o kong.HelpOptions, ctx *kong.Context) error {
			if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
				return err
			}
			return errHelp
		}),
	)
}

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// usage makes kong's complaint one that says where to look, and names the variable that a bad value
// came from.
func (s *session) usage(err error) error {
	text := err.Error()
	for flag, env := range s.fromEnv {
		for _, after := range []string{":", " must be one of"} {
			if rest, ok := strings.CutPrefix(text, "--"+flag+after); ok {
				text = env + after + rest
			}
		}
	}
	where := "voucherd"
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil {
		if node := p.Context.Selected(); node != nil {
			where = node.FullPath()
		} else if strings.HasPrefix(text, "unexpected argument") {
			text = strings.Replace(text, "unexpected argument", "there is no command", 1) + "; the commands are " + strings.Join(s.commands(), ", ")
		}
	}
	return usagef("%s (see %s --help)", text, where)
}

// commands lists the commands.
func (s *session) commands() []string {
	var names []string
	for _, c := range s.model.Children {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// resolve gives a flag that is not on the command line the value of its variable. An empty variable
// counts as unset: compose files and CI systems set them so.
func (s *session) resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	env := variable(flag)
	value := s.getenv(env)
	if env == "" || value == "" {
		return nil, nil
	}
	s.fromEnv[flag.Name] = env
	return value, nil
}

// variable is the environment variable of a flag: the one its env-name tag says, else VOUCHERD_ and
// its name.
func variable(flag *kong.Flag) string {
	if flag.Name == "help" {
		return ""
	}
	if flag.Tag.Has(envTag) {
		return flag.Tag.Get(envTag)
	}
	return "VOUCHERD_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
}

// envTag names a flag's variable. It is not kong's own tag, which would read the process's
// environment.
const envTag = "variable"

// formatHelp adds the default and the variable to a flag's help.
func formatHelp(v *kong.Value) string {
	if v.Flag == nil || v.Flag.Name == "help" {
		return v.Help
	}
	notes := []string{"$" + variable(v.Flag)}
	if def := cmp.Or(v.Tag.Get(defaultTag), v.Default); def != "" {
		notes = slices.Insert(notes, 0, "default "+def)
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(notes, "; ") + ")."
}

// defaultTag is what help says about a default that the table of settings applies, not kong.
const defaultTag = "otherwise"
