// Package browser_test looks at the gateway's pages as people do: with a real browser, on a real
// Redis, a worker and the stand-in API. Its pictures lie in artefacts/browser.
package browser_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/redis/go-redis/v9/logging"
)

// TestBrowser starts one browser for all looks; each has a profile, a Redis and a gateway of its
// own.
func TestBrowser(t *testing.T) {
	t.Parallel()
	logging.Disable() // go-redis prints by itself
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("these tests drive chromium, which is not in PATH: run them with `make test`, which installs it")
	}
	w := startBrowser(t, path)
	for name, look := range map[string]func(*stage, window){
		"login": loginLook, "search": searchLook, "upload": uploadLook, "overview": overviewLook, "list": listLook,
		"acts": actsLook, "languages": languagesLook, "phone": phoneLook, "dark": darkLook, "live": liveLook,
		"keyboard": keyboardLook, "queues": queuesLook, "without scripts": plainLook, "holds": holdsLook, "terminal": terminalLook,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			look(newStage(t), w)
		})
	}
}

// window opens tabs of the one browser.
type window struct {
	ctx context.Context //nolint:containedctx // chromedp keeps its browser in it
}

func startBrowser(t *testing.T, path string) window {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("disable-dev-shm-usage", true),
	}
	// It shall talk to the gateway alone.
	for _, quiet := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps",
		"disable-extensions", "disable-domain-reliability", "metrics-recording-only", "disable-background-timer-throttling",
		"disable-backgrounding-occluded-windows", "disable-renderer-backgrounding",
	} {
		options = append(options, chromedp.Flag(quiet, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return window{ctx}
}
