package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const root = "../../"

// documents are all of them by name, from the root, with those in which people are told what to do.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{
		"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "docs/*/*.md", "deploy/prometheus/alerts.yml",
		"deploy/systemd/*", "deploy/chart/templates/NOTES.txt",
	} {
		files, err := filepath.Glob(root + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[strings.TrimPrefix(file, root)] = string(text)
		}
	}
	return texts
}

// told is a command line of ours in a document.
type told struct {
	line  string
	whole bool // in a block, to be typed as it is: it must be complete
}

var (
	block = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
	typed = regexp.MustCompile(`(?m)(?:^|&& |\| )(?:[A-Z_]+=\S+ )*voucherd ((?:[^\n\\]|\\\n)*)`)
	span  = regexp.MustCompile("`voucherd ([^`]*)`")
	word  = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
	after = regexp.MustCompile(`(^|\s)([#&|>]|\d?>).*`) // what the shell takes for itself
)

func commandsIn(text string) []told {
	var found []told
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		for _, m := range typed.FindAllStringSubmatch(b[1], -1) {
			found = append(found, told{m[1], true})
		}
	}
	for _, m := range span.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
		found = append(found, told{strings.NewReplacer("[", "", "]", "", "…", "").Replace(m[1]), false})
	}
	return found
}

// args are the line's words, with an example for each that stands for others.
func (c told) args() []string {
	examples := map[string]string{"ROLE": "producer", "SHELL": "bash", "$ORDER": "1"}
	var args []string
	for _, w := range word.FindAllString(after.ReplaceAllString(strings.ReplaceAll(c.line, "\\\n", " "), ""), -1) {
		if e, ok := examples[w]; ok {
			w = e
		}
		args = append(args, strings.Trim(w, `"'`))
	}
	return args
}

// parse says what is wrong with a command line. One that is only mentioned may lack arguments.
func (c told) parse(t *testing.T) error {
	t.Helper()
	_, parser := parserOf(t)
	_, err := parser.Parse(c.args())
	if err != nil && !c.whole && regexp.MustCompile(`\bexpected|missing flags`).MatchString(err.Error()) {
		return nil
	}
	return err
}

func parserOf(t *testing.T) (*session, *kong.Kong) {
	t.Helper()
	s := &session{stdout: io.Discard, stderr: io.Discard, fromEnv: map[string]string{}}
	parser, err := newParser(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, parser
}

// TestCommandsInDocumentsExist parses every command line of ours that a document tells.
func TestCommandsInDocumentsExist(t *testing.T) {
	t.Parallel()
	n := 0
	for name, text := range documents(t) {
		for _, c := range commandsIn(text) {
			n++
			if err := c.parse(t); err != nil {
				t.Errorf("%s: voucherd %s: %v", name, c.line, err)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d command lines were found", n)
	}
	for _, c := range []told{{"list --stat waiting", false}, {"shwo KEY", false}, {"show", true}, {"token new --role ROLE --name NAME now", false}} {
		if c.parse(t) == nil {
			t.Errorf("voucherd %s would not be noticed", c.line)
		}
	}
}

// TestNamesInDocumentsExist looks for the variables, make targets and files that documents name.
func TestNamesInDocumentsExist(t *testing.T) {
	t.Parallel()
	s, parser := parserOf(t)
	s.model = parser.Model
	variables := s.known()
	makefile, err := os.ReadFile(root + "Makefile")
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(root + ".gitignore")
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1)
	for name, text := range documents(t) {
		for _, m := range regexp.MustCompile(`(?:VOUCHERD|PANDAPON)_[A-Z_]*[A-Z]\b`).FindAllString(text, -1) {
			if !slices.Contains(variables, m) {
				t.Errorf("%s: no command reads %s", name, m)
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !slices.ContainsFunc(targets, func(target []string) bool { return target[1] == m[1] }) {
				t.Errorf("%s: there is no target %s", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`([a-z0-9._-]+)(/[A-Za-z0-9._/-]*)`").FindAllStringSubmatch(text, -1) {
			if strings.Contains(string(made), "/"+m[1]+"/\n") || strings.HasPrefix(m[2], "/secrets/") {
				continue // what a target makes, or each installation
			}
			if _, err := os.Stat(root + m[1]); err != nil {
				continue // a path elsewhere
			}
			if _, err := os.Stat(root + m[1] + m[2]); err != nil {
				t.Errorf("%s: there is no %s%s", name, m[1], m[2])
			}
		}
	}
}

// TestLinksInDocumentsLead follows each link within the project, to a file and to a heading.
func TestLinksInDocumentsLead(t *testing.T) {
	t.Parallel()
	texts := documents(t)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(texts[name], -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			to := name
			if file != "" {
				to = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(root + to); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
			}
			if anchor == "" {
				continue
			}
			there := slices.ContainsFunc(heading.FindAllStringSubmatch(texts[to], -1), func(h []string) bool {
				plain := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(h[1]), "")
				return strings.ReplaceAll(plain, " ", "-") == anchor
			})
			if !there {
				t.Errorf("%s: %s has no such heading", name, m[1])
			}
		}
	}
}
