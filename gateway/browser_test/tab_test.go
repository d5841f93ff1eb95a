package browser_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// tabTime is how long a look may take; the machine may be busy.
const tabTime = 3 * time.Minute

// tab is a window of a browser that nobody has used before.
type tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // a test's own
	base string

	mu       sync.Mutex
	requests []string // what the browser asked for
	mistakes []string // what it complained of
}

// open opens a window that signs in with a token.
func (s *stage) open(w window, token string) *tab {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx, chromedp.WithNewBrowserContext())
	s.t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, tabTime)
	s.t.Cleanup(cancel)
	b := &tab{t: s.t, ctx: ctx, base: s.url}
	must(s.t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)))
	call(b, log.Enable, cdp.Empty{})
	must(s.t, chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && e.Entry.Level == log.EntryLevelError {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.mistakes = append(b.mistakes, e.Entry.Text+" "+e.Entry.URL)
		}
	}))
	must(s.t, chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && !strings.HasPrefix(e.Request.URL, "data:") {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.requests = append(b.requests, e.Request.URL)
		}
	}))
	call(b, network.Enable, network.EnableParams{})
	b.language("en-GB,en;q=0.9")
	if token != "" {
		b.goTo("/login")
		b.signIn(token)
	}
	return b
}

// signIn types a token into the login page.
func (b *tab) signIn(token string) {
	b.t.Helper()
	b.click("input[name=token]")
	b.press(token)
	b.follow(".login button")
}

func call[P, R any](b *tab, command cdp.Command[P, R], p P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, command, p)
	must(b.t, err)
	return r
}

// language is what the browser says that its user reads.
func (b *tab) language(accept string) {
	b.t.Helper()
	call(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "look", AcceptLanguage: accept})
}

// prefer sets a media feature, such as prefers-color-scheme.
func (b *tab) prefer(feature, value string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
}

// atHome fails if the browser asked anybody but the gateway, and what begins so, for anything.
func (b *tab) atHome(others ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if !slices.ContainsFunc(append(others, b.base+"/"), func(own string) bool { return strings.HasPrefix(url, own) }) {
			b.t.Errorf("a page asked for %s", url)
		}
	}
}

func (b *tab) goTo(path string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(b.base+path)); err != nil {
		b.t.Fatalf("go to %s: %v", path, err)
	}
}

func (b *tab) click(css string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(css))); err != nil {
		b.t.Fatalf("click on %s: %v", css, err)
	}
}

// follow activates what leads to another page, and waits for that. The script finds and clicks it in one step: a page
// that renews itself, or scrolls, may move it away from under a mouse.
func (b *tab) follow(css string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Evaluate[chromedp.Void](`void document.querySelector(`+strconv.Quote(css)+`).click()`)); err != nil {
		b.t.Fatalf("follow %s: %v", css, err)
	}
}

func (b *tab) press(keys string) {
	b.t.Helper()
	must(b.t, chromedp.Do(b.ctx, chromedp.KeyEvent(keys)))
}

// text gives the text that a person sees at the first element.
func (b *tab) text(css string) string {
	b.t.Helper()
	return eval[string](b, `document.querySelector(`+strconv.Quote(css)+`)?.innerText ?? ""`)
}

func (b *tab) count(css string) int {
	b.t.Helper()
	return eval[int](b, `document.querySelectorAll(`+strconv.Quote(css)+`).length`)
}

func (b *tab) where() string {
	b.t.Helper()
	return strings.TrimPrefix(eval[string](b, `location.href`), b.base)
}

func eval[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// until waits for a script to give true.
func (b *tab) until(script string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](script, chromedp.WithPollingTimeout(time.Minute), chromedp.WithPollingInterval(50*time.Millisecond)))
	if err != nil {
		b.shot("failed")
		b.t.Fatalf("%s: %v; the page says: %s", script, err, b.text("body"))
	}
}

// sees fails unless the first element's text has all of these in it.
func (b *tab) sees(css string, words ...string) {
	b.t.Helper()
	text := b.text(css)
	for _, w := range words {
		if !strings.Contains(text, w) {
			b.t.Errorf("%s on %s does not say %q but: %s", css, b.where(), w, text)
		}
	}
}

// fine fails if the browser complained of anything that is not expected.
func (b *tab) fine(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.mistakes {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(m, e)
		}
		if !known {
			b.t.Errorf("the browser complains: %s", m)
		}
	}
}

// fits fails if the page is wider than the window.
func (b *tab) fits() {
	b.t.Helper()
	if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		b.t.Errorf("%s is %d pixels wider than the window", b.where(), over)
	}
}

var update = flag.Bool("update", false, "renew docs/pictures") //nolint:gochecknoglobals // a flag

// shot keeps a picture of the whole page, and of some also among the documents.
func (b *tab) shot(name string) {
	b.t.Helper()
	dirs := []string{"artefacts/browser"}
	if *update && slices.Contains([]string{"overview-24h", "upload-waiting", "terminal"}, name) {
		dirs = append(dirs, "docs/pictures")
	}
	size := eval[[]int64](b, `[innerWidth, Math.max(document.documentElement.scrollHeight, innerHeight)]`)
	r := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: new(true),
		Clip: &page.Viewport{Width: float64(size[0]), Height: float64(size[1]), Scale: 1},
	})
	for _, dir := range dirs {
		path := filepath.Join("..", "..", dir, name+".png")
		must(b.t, os.MkdirAll(filepath.Dir(path), 0o750))
		must(b.t, os.WriteFile(path, r.Data, 0o600))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
