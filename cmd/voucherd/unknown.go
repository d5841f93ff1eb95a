package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/config"
)

// unknown is a variable that looks like ours and that no command reads: a misspelt one, most
// likely.
type unknown struct {
	name, nearest string // nearest: a known one, if one is close
}

func (u unknown) String() string {
	if u.nearest == "" {
		return u.name + " is set, but no command reads it (see --help)"
	}
	return fmt.Sprintf("%s is set, but no command reads it: did you mean %s?", u.name, u.nearest)
}

// sayUnknown names unknown variables to the person who started a command, unless that was done.
func (s *session) sayUnknown() {
	if s.unknownSaid {
		return
	}
	s.unknownSaid = true
	for _, u := range s.unknown() {
		fmt.Fprintln(s.stderr, "voucherd:", u)
	}
}

// logUnknown names them in the log of a command that has one.
func (s *session) logUnknown(log *zap.Logger) {
	s.unknownSaid = true
	for _, u := range s.unknown() {
		log.Warn("settings.unknown", zap.String("variable", u.name), zap.String("nearest", u.nearest))
	}
}

// fromCluster matches what Kubernetes, and Docker's links, set for a service whose name begins with
// voucherd.
var fromCluster = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$`)

func (s *session) unknown() []unknown {
	known := s.known()
	var found []unknown
	for _, e := range s.env {
		name, value, _ := strings.Cut(e, "=")
		_, ours := withoutPrefix(name)
		if !ours || value == "" || slices.Contains(known, name) || fromCluster.MatchString(name) {
			continue
		}
		found = append(found, unknown{name: name, nearest: nearest(name, known)})
	}
	return found
}

// known lists the variables of every command, for they often share one environment; the settings
// come first.
func (s *session) known() []string {
	var known []string
	for _, set := range config.Settings() {
		known = append(known, set.Env)
	}
	known = append(known, tokensVariable)
	for _, command := range s.model.Leaves(false) {
		for _, flags := range command.AllFlags(false) {
			for _, f := range flags {
				known = append(known, variable(f))
			}
		}
	}
	accounts := s.getenv("VOUCHERD_ACCOUNTS_FILE")
	if s.command != nil {
		accounts = s.given()["VOUCHERD_ACCOUNTS_FILE"].Text
	}
	return append(known, config.AccountVariables(accounts)...)
}

// withoutPrefix says whether a variable's name looks like ours.
func withoutPrefix(name string) (rest string, ours bool) {
	if rest, ours = strings.CutPrefix(name, "VOUCHERD_"); !ours {
		rest, ours = strings.CutPrefix(name, "PANDAPON_")
	}
	return rest, ours
}

// nearest gives the first of the known names that a misspelt one is closest to: a few letters or
// words apart, or with the other prefix. It gives none when all are far.
func nearest(name string, known []string) string {
	rest, _ := withoutPrefix(name)
	best, least := "", 2+len(rest)/6
	for _, k := range known {
		other, _ := withoutPrefix(k)
		if d := distance(rest, other); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the words that one name has and the other lacks, if that is all that is
// different, else the letters.
func distance(a, b string) int {
	few, many := strings.Split(a, "_"), strings.Split(b, "_")
	if len(few) > len(many) {
		few, many = many, few
	}
	if !slices.ContainsFunc(few, func(word string) bool { return !slices.Contains(many, word) }) {
		return len(many) - len(few)
	}
	return letters(a, b)
}

// letters is Levenshtein's distance: how many letters must be added, dropped or changed.
func letters(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
