package main

import (
	"strings"

	"github.com/voucherd/voucherd/internal/config"
)

// formerNames gives a fault for every former name among the arguments and the variables that are
// set.
func (s *session) formerNames(args []string) []config.Fault {
	var faults []config.Fault
	add := func(name, kind string) {
		if now, ok := config.NewName(name); ok {
			faults = append(faults, config.Fault{Name: name, Reason: "this " + kind + " is called " + now + " now"})
		}
	}
	command := ""
	for _, arg := range args {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(arg, "=")
		switch {
		case strings.HasPrefix(arg, "-"):
			add(name, "flag")
		case command == "":
			command = arg
			add(arg, "command")
		}
	}
	for _, e := range s.env {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "VOUCHERD_") && s.getenv(name) != "" {
			add(name, "variable")
		}
	}
	return faults
}
