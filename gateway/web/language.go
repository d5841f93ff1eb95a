package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The languages, each with a file of messages. The first one is for whoever asks for none of them.
const (
	english = "en"
	chinese = "zh" // Simplified
)

func languageNames() []string { return []string{english, chinese} }

func loadLanguages() (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, name := range languageNames() {
		text, err := files.ReadFile(path.Join("messages", name+".json"))
		if err != nil {
			return nil, fmt.Errorf("read the messages: %w", err)
		}
		var messages map[string]string
		if err := json.Unmarshal(text, &messages); err != nil {
			return nil, fmt.Errorf("read the messages in %s: %w", name, err)
		}
		all[name] = messages
	}
	return all, nil
}

// languageCookie keeps what was chosen; it is for a year.
const (
	languageCookie = "voucherd_language"
	languageAge    = 365 * 24 * time.Hour
)

// languageOf gives the language chosen, else the one that the browser likes best.
func languageOf(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && slices.Contains(languageNames(), c.Value) {
		return c.Value
	}
	best, weight := english, 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64) // what cannot be read weighs nothing
		}
		if q > weight && slices.Contains(languageNames(), name) {
			best, weight = name, q
		}
	}
	return best
}

// chooseLanguage keeps a choice, and goes back to where it was made.
func (p *Pages) chooseLanguage(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	to := r.PostForm.Get("to")
	if !slices.Contains(languageNames(), to) {
		return fmt.Errorf("%w: there is no such language", ErrInput)
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure follows the request: plain HTTP on loopback is allowed
		Name: languageCookie, Value: to, Path: "/", MaxAge: int(languageAge / time.Second), HttpOnly: true,
		Secure: p.cfg.Viewer(r).Secure, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, OwnAddress(r.PostForm.Get("back")), http.StatusSeeOther) //nolint:gosec // it stays on this site
	return nil
}

// OwnAddress gives a path that a form or an address brought, or "/" for one that leads off this
// site. Browsers read a backslash as a slash, and drop line ends.
func OwnAddress(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}
