package main

import (
	"fmt"
	"runtime"

	"github.com/voucherd/voucherd/internal/build"
)

type versionCmd struct{}

// Run prints what this binary was built from.
func (*versionCmd) Run(s *session) error { //nolint:unparam // kong wants an error
	b := build.Read()
	fmt.Fprintf(s.stdout, "voucherd %s (commit %s, %s, %s/%s)\n", b.Version, b.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
