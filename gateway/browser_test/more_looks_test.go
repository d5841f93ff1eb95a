package browser_test

import (
	"strconv"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func phoneLook(s *stage, w window) {
	t := s.t
	s.fill()
	b := s.open(w, s.operator)
	must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile)))
	u := s.ends(s.hand(mainAccount, order(800)), ledger.Delivered)
	for name, path := range map[string]string{
		"overview": "/", "list": "/uploads", "list-rejected": "/uploads?state=rejected", "upload": "/uploads/" + u.ID,
		"search-none": "/search?q=123",
	} {
		b.goTo(path)
		b.fits()
		b.shot("phone-" + name)
	}
	// What a thumb shall hit is not smaller than 24 pixels (WCAG 2.2, 2.5.8); links within
	// sentences are exempt.
	b.goTo("/uploads?state=rejected")
	small := eval[[]string](b, `[...document.querySelectorAll("button, select, input:not([type=hidden]), .tabs a, .top nav a")]
		.filter(e => e.checkVisibility() && !e.closest("thead")).map(e => [e.getBoundingClientRect(), e]).filter(([r, e]) => r.height < 22 || r.width < 22)
		.map(([r, e]) => e.outerHTML)`)
	if len(small) > 0 {
		t.Errorf("too small for a thumb: %v", small)
	}
}

func darkLook(s *stage, w window) {
	t := s.t
	s.fill()
	b := s.open(w, s.operator)
	for _, scheme := range []string{"light", "dark"} {
		b.prefer("prefers-color-scheme", scheme)
		b.goTo("/")
		b.contrast()
		b.shot("overview-" + scheme)
		b.goTo("/uploads?state=waiting")
		b.contrast()
		b.click(".uploads tbody input[name=id]")
		b.contrast()
		b.shot("list-" + scheme)
		b.goTo("/uploads?state=waiting")
		b.follow(".cell-order a")
		b.contrast()
		b.shot("upload-" + scheme)
	}
	if got := eval[string](b, `getComputedStyle(document.body).backgroundColor`); got != "rgb(16, 21, 20)" {
		t.Errorf("in the dark the page is %s", got)
	}
}

// contrast fails for text that is hard to read on what lies behind it (WCAG 2.2, 1.4.3).
func (b *tab) contrast() {
	b.t.Helper()
	hard := eval[[]string](b, `(() => {
		const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
		const over = (under, colour) => {
			paint.fillStyle = "rgb(" + under.join(" ") + ")"; paint.fillRect(0, 0, 1, 1);
			paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
			return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
		};
		const behind = (e) => {
			const all = [];
			for (; e; e = e.parentElement) all.unshift(getComputedStyle(e).backgroundColor);
			return all.reduce(over, [255, 255, 255]);
		};
		const light = (c) => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
			.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
		const bad = new Set();
		const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (texts.nextNode()) {
			const e = texts.currentNode.parentElement;
			if (!texts.currentNode.data.trim() || e.closest("svg, .skip, .away") || !e.checkVisibility()) continue;
			const back = behind(e), text = over(back, getComputedStyle(e).color);
			const [a, z] = [light(text), light(back)].sort((x, y) => y - x);
			const ratio = (a + .05) / (z + .05);
			if (ratio < 4.5) bad.add(e.tagName + "." + e.className + " " + ratio.toFixed(2) + " " + texts.currentNode.data.trim().slice(0, 30));
		}
		return [...bad];
	})()`)
	if len(hard) > 0 {
		b.t.Errorf("%s has text that is hard to read: %q", b.where(), hard)
	}
}

func liveLook(s *stage, w window) {
	t := s.t
	s.openBreaker(1)
	u := s.hand(otherAccount, order(1))
	b := s.open(w, s.operator)
	b.goTo("/uploads/" + u.ID)
	if state := b.text("[data-state]"); state == "Delivered" || state == "" {
		t.Errorf("behind an open breaker it is %q", state)
	}
	b.sees(".outcome-panel .why", "The circuit breaker of account shanghai is open.", "refuses this account", "Next probe")
	b.shot("upload-breaker-open")
	b.until(`document.querySelector("footer .live").textContent === "Live"`)
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.Outage, OrderID: order(5)}) // one can be selected
	s.hand(otherAccount, order(5))
	b.until(`document.querySelector("[data-state]").textContent === "Delivered"`)
	b.fine()

	b.goTo("/uploads?account=" + otherAccount)
	b.click(`.uploads input[name=id]`)
	before := b.count(".uploads tbody tr")
	s.ends(s.hand(otherAccount, order(2)), ledger.Delivered)
	b.until(`document.querySelector("footer .live").textContent === "Paused while something is selected"`)
	if b.count(".uploads input:checked") != 1 {
		t.Error("the list forgot what was selected")
	}
	b.click(`.uploads input[name=id]`)
	b.until(`document.querySelectorAll(".uploads tbody tr").length === ` + strconv.Itoa(before+1))
}

func keyboardLook(s *stage, w window) {
	t := s.t
	u := s.ends(s.hand(mainAccount, order(1)), ledger.Delivered)
	b := s.open(w, s.operator)
	b.goTo("/uploads")
	b.press("\t")
	if got := eval[string](b, `document.activeElement.className`); got != "skip" {
		t.Errorf("the first stop of the tab key is %q", got)
	}
	b.press("\r")
	if got := eval[string](b, `document.activeElement.id`); got != "main" {
		t.Errorf("the skip link leads to %q", got)
	}
	call(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Text: "/"})
	if got := eval[string](b, `document.activeElement.name`); got != "q" {
		t.Errorf("/ leads to %q", got)
	}
	b.press(order(1))
	_, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent("\r"))
	must(t, err)
	if b.where() != "/uploads/"+u.ID {
		t.Errorf("the search led to %s", b.where())
	}
	for _, path := range []string{"/", "/uploads", "/uploads/" + u.ID, "/search?q=1"} {
		b.goTo(path)
		b.named()
		b.ringed()
	}
	b.fine("404")
}

// named fails for controls that a screen reader has no name for, and for a page without one first
// heading.
func (b *tab) named() {
	b.t.Helper()
	nameless := eval[[]string](b, `[...document.querySelectorAll("a, button, input:not([type=hidden]), select, img, svg[role]")]
		.filter(e => e.checkVisibility() && e.alt !== "" && !(e.ariaLabel || e.innerText?.trim() || e.alt || e.labels?.length))
		.map(e => e.outerHTML)`)
	if len(nameless) > 0 {
		b.t.Errorf("%s has nameless controls: %v", b.where(), nameless)
	}
	if n := b.count("h1"); n != 1 {
		b.t.Errorf("%s has %d first headings", b.where(), n)
	}
}

// ringed fails if the tab key comes to something that does not show it.
func (b *tab) ringed() {
	b.t.Helper()
	for range 12 {
		b.press("\t")
		if at := eval[string](b, `(() => { const s = getComputedStyle(document.activeElement);
			return document.activeElement === document.body || s.outlineStyle !== "none" ? "" : document.activeElement.outerHTML })()`); at != "" {
			b.t.Errorf("%s does not show the focus at %s", b.where(), at)
		}
	}
}

func queuesLook(s *stage, w window) {
	t := s.t
	s.fill()
	b := s.open(w, s.operator)
	b.goTo("/")
	b.follow(`.top nav a[href="/queues/"]`)
	b.until(`document.body.innerText.includes("vouchers-default") && document.body.innerText.includes("vouchers-shanghai")`)
	b.shot("queues")
	page, err := s.tasks.List(s.ctx, ledger.Query{State: ledger.Waiting, Account: mainAccount, Limit: 1})
	must(t, err)
	b.goTo("/uploads/" + page.Uploads[0].ID)
	b.follow(`.links a[href^="/queues/"]`)
	b.until(`document.body.innerText.includes("` + page.Uploads[0].ID + `")`)
	b.shot("queues-task")
	b.goTo("/queues/queues/vouchers-default?status=completed")
	b.until(`document.body.innerText.includes("voucher:upload")`)
	b.shot("queues-completed")
	b.fine()
	b.atHome()
	b.follow(`a[href="/"]`)
	b.sees("h1", "Did the voucher go through?")
	pause := `fetch("/queues/api/queues/vouchers-default:pause", {method: "POST"}).then(r => r.status)`
	status := func(b *tab) int {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](pause, chromedp.EvalAwaitPromise))
		must(t, err)
		return v
	}
	if got := status(b); got != 204 {
		t.Errorf("an operator's pause got %d", got)
	}
	other := s.open(w, s.producer)
	other.goTo("/queues/")
	other.until(`document.body.innerText.includes("vouchers-default")`)
	if got := status(other); got != 405 {
		t.Errorf("a producer's pause got %d", got)
	}
	other.atHome()
	other.shot("queues-producer")
}

func plainLook(s *stage, w window) {
	t := s.t
	u := s.rejected(1, 1, angry)[0]
	s.box.SetFaults()
	b := s.open(w, s.operator)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.goTo("/")
	b.click("input[name=q]")
	b.press(order(1))
	b.follow(".search.big button")
	if b.where() != "/uploads/"+u.ID || b.count("button.copy:not([hidden])") != 0 {
		t.Errorf("at %s, with %d buttons that need scripts", b.where(), b.count("button.copy:not([hidden])"))
	}
	b.follow(".outcome-panel button.main")
	b.follow("button[name=confirmed]")
	b.sees(".notice", "it will be sent again")
	s.ends(u, ledger.Delivered)
}
