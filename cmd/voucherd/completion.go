package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/ledger"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Help says how to use it.
func (completionCmd) Help() string {
	return "For bash add this to ~/.bashrc: source <(voucherd completion bash). For zsh, the same in ~/.zshrc after compinit. " +
		"For fish: voucherd completion fish > ~/.config/fish/completions/voucherd.fish"
}

// Run prints the script that a shell completes this program's commands and flags by.
func (c *completionCmd) Run(s *session) error { //nolint:unparam // kong wants an error
	switch c.Shell {
	case "fish":
		s.completeFish(s.stdout)
	case "zsh":
		fmt.Fprintln(s.stdout, "autoload -Uz bashcompinit && bashcompinit")
		s.completeBash(s.stdout)
	default:
		s.completeBash(s.stdout)
	}
	return nil
}

// choices are the values that a flag takes, when they are few.
func choices(f *kong.Flag) string {
	switch f.Name {
	case "state":
		var states []string
		for _, state := range ledger.States() {
			states = append(states, string(state))
		}
		return strings.Join(states, " ")
	case "role":
		return "producer operator"
	}
	return strings.ReplaceAll(f.Enum, ",", " ")
}

// flagsOf lists the flags of a command and of those below it, each once.
func flagsOf(command *kong.Node) []*kong.Flag {
	var all []*kong.Flag
	for _, leaf := range append(command.Leaves(true), command) {
		for _, f := range slices.Concat(leaf.AllFlags(true)...) {
			if !slices.ContainsFunc(all, func(g *kong.Flag) bool { return g.Name == f.Name }) {
				all = append(all, f)
			}
		}
	}
	return all
}

// completeBash prints a function that looks at the command and at the word before the one to
// complete. Where it offers nothing, bash offers files.
func (s *session) completeBash(w io.Writer) {
	values, anything := map[string]string{}, []string{}
	var commands strings.Builder
	for _, c := range s.model.Children {
		words := make([]string, 0, len(c.Children))
		for _, child := range c.Children {
			words = append(words, child.Name)
		}
		for _, f := range flagsOf(c) {
			words = append(words, "--"+f.Name)
			if value := choices(f); value != "" {
				values["--"+f.Name] = value
			} else if pattern := "*:*:--" + f.Name; !f.IsBool() && !slices.Contains(anything, pattern) {
				anything = append(anything, pattern)
			}
		}
		fmt.Fprintf(&commands, "    *:%s:*) words=%q ;;\n", c.Name, strings.Join(words, " "))
	}
	fmt.Fprintf(w, "_voucherd() {\n  local cur=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n"+
		"  case \"$COMP_CWORD:${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]}\" in\n    1:*) words=%q ;;\n", strings.Join(s.commands(), " "))
	for _, flag := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(w, "    *:*:%s) words=%q ;;\n", flag, values[flag])
	}
	fmt.Fprintf(w, "    %s) ;;\n%s  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"+
		"complete -o default -F _voucherd voucherd\n", strings.Join(anything, "|"), commands.String())
}

// completeFish prints a line for each command and flag.
func (s *session) completeFish(w io.Writer) {
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `\'`) + "'" }
	for _, c := range s.model.Children {
		fmt.Fprintf(w, "complete -c voucherd -f -n __fish_use_subcommand -a %s -d %s\n", c.Name, quote(c.Help))
		in := quote("__fish_seen_subcommand_from " + c.Name)
		for _, child := range c.Children {
			fmt.Fprintf(w, "complete -c voucherd -f -n %s -a %s -d %s\n", in, child.Name, quote(child.Help))
		}
		for _, f := range flagsOf(c) {
			value := ""
			if words := choices(f); words != "" {
				value = " -x -a " + quote(words)
			} else if !f.IsBool() {
				value = " -r"
			}
			fmt.Fprintf(w, "complete -c voucherd -n %s -l %s%s -d %s\n", in, f.Name, value, quote(f.Help))
		}
	}
}
