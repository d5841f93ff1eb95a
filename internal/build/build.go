// Package build says what this program was built from.
package build

import (
	"cmp"
	"runtime/debug"
)

// Info is what Go noted when it built the program.
type Info struct {
	Version string // "devel" when it was not built from a released version
	Commit  string // "unknown" when git did not tell; ", modified" follows it when files had changed
}

// Read gives what is known of this program.
func Read() Info {
	b := Info{Version: "devel", Commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = cmp.Or(s.Value, b.Commit)
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	b.Commit += modified
	return b
}
