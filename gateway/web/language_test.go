package web_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func messages(t *testing.T, language string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("messages/" + language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	verb := regexp.MustCompile(`%[sd]`)
	english, chinese := messages(t, "en"), messages(t, "zh")
	for _, key := range slices.Sorted(maps.Keys(english)) {
		first, _, _ := strings.Cut(english[key], "|")
		want := verb.FindAllString(first, -1)
		for _, form := range append(strings.Split(english[key], "|"), strings.Split(chinese[key], "|")...) {
			if strings.TrimSpace(form) == "" {
				t.Errorf("%s is empty in a language", key)
			}
			if got := verb.FindAllString(form, -1); !slices.Equal(got, want) {
				t.Errorf("%s: %q takes %v, want %v", key, form, got, want)
			}
		}
	}
	for key := range chinese {
		if _, ok := english[key]; !ok {
			t.Errorf("%s is not in English", key)
		}
	}
}

func TestLanguageIsChosen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for accept, want := range map[string]string{
		"": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh-Hans", "en-US,en;q=0.9,zh;q=0.8": "en", "de,zh;q=0.2": "zh-Hans", "fr": "en",
		"zh;q=0,en": "en", "zh;q=x,fr": "en", "ZH-tw": "zh-Hans", ";;,,q=1": "en", "en;q=0.1, zh;q=0.2": "zh-Hans",
	} {
		a := s.get("/", "Accept-Language", accept)
		if got := a.header.Get("Content-Language"); got != want || !strings.Contains(a.body, `<html lang="`+want+`">`) {
			t.Errorf("%q gives %s, want %s", accept, got, want)
		}
		if got := s.get("/", "Accept-Language", accept, "Cookie", "voucherd_language=zh").header.Get("Content-Language"); got != "zh-Hans" {
			t.Errorf("%q wins over the choice: %s", accept, got)
		}
	}
	if got := s.get("/", "Cookie", "voucherd_language=xx").header.Get("Content-Language"); got != "en" {
		t.Errorf("a cookie of nonsense gives %s", got)
	}
}

func TestLanguageSwitch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for back, want := range map[string]string{
		"/uploads?state=waiting": "/uploads?state=waiting", "": "/", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/",
		"/\tx": "/", "javascript:alert(1)": "/",
	} {
		a := s.post("/language", url.Values{"to": {"zh"}, "back": {back}})
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != want {
			t.Errorf("from %q to %q, want %q", back, got, want)
		}
		cookie := a.header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, "voucherd_language=zh; Path=/; Max-Age=") || !strings.Contains(cookie, "HttpOnly; SameSite=Lax") || strings.Contains(cookie, "Secure") {
			t.Errorf("the cookie is %s", cookie)
		}
	}
	s.viewer.Secure = true
	if c := s.post("/language", url.Values{"to": {"en"}}).header.Get("Set-Cookie"); !strings.Contains(c, "Secure") {
		t.Errorf("over HTTPS the cookie is %s", c)
	}
	s.has(s.post("/language", url.Values{"to": {"xx"}}), http.StatusUnprocessableEntity)
}
