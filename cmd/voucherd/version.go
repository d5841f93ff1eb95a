package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

// Run prints what this binary was built from.
func (*versionCmd) Run(s *session) error { //nolint:unparam // kong wants an error
	b := build()
	fmt.Fprintf(s.stdout, "voucherd %s (commit %s, %s, %s/%s)\n", b.version, b.commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// buildInfo is what Go noted when it built the binary.
type buildInfo struct{ version, commit string }

func build() buildInfo {
	b := buildInfo{version: "devel", commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.commit = cmp.Or(s.Value, b.commit)
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	b.commit += modified
	return b
}
