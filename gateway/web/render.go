package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// page is what every template sees as $.
type page struct {
	words

	Viewer   Viewer
	Language string
	Here     string // path and query, to come back to
	Nav      string // the entry of the navigation that this page belongs to
	Title    string
	Query    string // in the search box
	BigQuery bool   // the page has a search box of its own
	Live     time.Duration
	Refresh  string // where the browser is to go on to at once; "": it stays
	Notice   string // what was just done
	Body     any
}

// Languages lists the languages to switch to, with their own names.
func (p page) Languages() []string { return languageNames() }

// LiveSeconds is how often the browser asks for the live part again; 0: never.
func (p page) LiveSeconds() int { return int(p.Live / time.Second) }

// States lists the states.
func (page) States() []ledger.State { return ledger.States() }

// layoutFile has the frame of every page; the others have what stands in it: "content", and in that
// "live", the part that the browser asks for anew while the page is looked at.
const layoutFile = "layout.html"

func (p *Pages) loadTemplates() (map[string]*template.Template, error) {
	nameOf := func(language string) string { return p.languages[language]["language.name"] }
	base := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"asset": p.address, "languageName": nameOf, "card": newCard, "list": list})
	base, err := base.ParseFS(files, path.Join("templates", layoutFile))
	if err != nil {
		return nil, fmt.Errorf("read the page templates: %w", err)
	}
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("read the page templates: %w", err)
	}
	all := map[string]*template.Template{}
	for _, e := range entries {
		if e.Name() == layoutFile {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(files, path.Join("templates", e.Name()))
		}
		if err != nil {
			return nil, fmt.Errorf("read the page templates: %w", err)
		}
		all[e.Name()] = t
	}
	return all, nil
}

// card is one part of a page and the page, for a template of its own; or a time and its words.
type card struct{ Page, Of any }

func newCard(p, of any) card { return card{Page: p, Of: of} }

func list(of ...any) []any { return of }

// newPage begins a page for a request.
func (p *Pages) newPage(r *http.Request, nav string) page {
	language := languageOf(r)
	return page{
		words:  words{texts: p.languages[language], now: p.cfg.Now()},
		Viewer: p.cfg.Viewer(r), Language: language, Here: r.URL.RequestURI(), Nav: nav,
	}
}

// LiveHeader is sent by a page's script when it wants the live part alone.
const LiveHeader = "Voucherd-Live"

// render answers with a page, or its live part. It is whole before the first byte goes out.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, pg page) error {
	t := p.templates[name]
	part := "layout"
	if r.Header.Get(LiveHeader) != "" && t.Lookup("live") != nil {
		part = "live"
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, part, pg); err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", pg.texts["language.tag"])
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	_, err := w.Write(out.Bytes())
	return ignoreGone(err)
}

// ignoreGone drops the error of an answer that was begun: whoever asked has gone, and no other page
// can follow.
func ignoreGone(error) error { return nil }
