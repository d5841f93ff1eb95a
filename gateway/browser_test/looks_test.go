package browser_test

import (
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

const angry = `The amount on the voucher differs from the order. <script>alert("x")</script>`

func loginLook(s *stage, w window) {
	t := s.t
	u := s.ends(s.hand(mainAccount, order(1)), ledger.Delivered)
	b := s.open(w, "")
	b.goTo("/uploads/" + u.ID)
	if b.count("nav, .uploads, .outcome-panel") != 0 || !strings.HasPrefix(b.where(), "/login?next=") {
		t.Errorf("without a token %s shows: %s", b.where(), b.text("body"))
	}
	b.fits()
	b.named()
	b.shot("login")
	b.signIn("voucherd_wrong")
	b.sees(".sign.alarm", "This token is not known")
	b.shot("login-wrong")
	b.signIn(s.operator)
	b.sees("footer", "li-na", "operator")
	b.sees("h1", order(1))
	if cookies := eval[string](b, "document.cookie"); cookies != "" {
		t.Errorf("scripts see the cookies %s", cookies)
	}
	// By a link of another site, which keeps the cookie back at first.
	must(t, chromedp.Do(b.ctx, chromedp.Navigate(strings.Replace(s.url, "127.0.0.1", "localhost", 1)+"/login")))
	eval[bool](b, `(location.href = "`+s.url+"/uploads/"+u.ID+`", true)`)
	s.wait("the page that the link leads to", func() bool {
		at, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.pathname + document.readyState`)) // it may be changing
		return err == nil && at == "/uploads/"+u.ID+"complete"
	})
	b.sees("h1", order(1))
	b.fine("401")
	b.atHome("http://localhost:")
	b.follow("footer .out button")
	b.goTo("/uploads")
	b.sees("h1", "Sign in to voucherd")

	b = s.open(w, s.producer)
	b.goTo("/uploads/" + u.ID)
	b.sees("footer", "shop", "may look")
	if n := b.count("main form[method=post], img.voucher"); n != 0 {
		t.Errorf("a producer sees %d buttons of operators", n)
	}
	b.prefer("prefers-color-scheme", "dark")
	b.language("zh-CN")
	b.follow("footer .out button")
	b.sees("h1", "登录 voucherd")
	b.contrast()
	must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile)))
	b.fits()
	b.shot("phone-login-dark-chinese")
	b.fine()
}

func searchLook(s *stage, w window) {
	t := s.t
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.Outage, OrderID: order(1), Times: 1})
	u := s.ends(s.hand(mainAccount, order(1)), ledger.Delivered)
	second := s.ends(s.hand(mainAccount, order(2)), ledger.Delivered)
	again := s.hand(mainAccount, order(2))
	b := s.open(w, s.producer)
	request := u.Attempts[1].RequestID
	for _, c := range []struct{ key, where string }{
		{order(1), "/uploads/" + u.ID},
		{"  " + u.ID + " ", "/uploads/" + u.ID},
		{request, "/uploads/" + u.ID + "#attempt-2"},
		{second.ID, "/uploads/" + second.ID},
	} {
		b.goTo("/")
		b.click("input[name=q]")
		b.press(c.key)
		b.follow(".search.big button")
		if got := b.where(); got != c.where {
			t.Errorf("%q leads to %s, want %s", c.key, got, c.where)
		}
	}
	b.goTo("/search?q=" + order(2))
	b.sees("h1", "2 uploads for "+order(2))
	if n := b.count(".uploads tbody tr"); n != 2 || b.count(`a[href="/uploads/`+again.ID+`"]`) != 1 {
		t.Errorf("the order's list has %d rows", n)
	}
	b.shot("search-many")
	b.fine()
	b.goTo("/search?q=1993804417200000000")
	b.sees("main", "Nothing found for 1993804417200000000", "19 digits")
	b.shot("search-none")
}

func uploadLook(s *stage, w window) {
	t := s.t
	s.box.SetFaults(
		sandbox.Fault{Kind: sandbox.Outage, OrderID: order(1), Times: 1},
		sandbox.Fault{Kind: sandbox.NotJSON, OrderID: order(1), Times: 1},
		sandbox.Fault{Kind: sandbox.Outage, OrderID: order(3)},
	)
	u := s.ends(s.hand(mainAccount, order(1)), ledger.Delivered)
	waiting := s.comes(s.hand(mainAccount, order(3)).ID, func(u ledger.Upload) bool {
		return u.State == ledger.Waiting && len(u.Attempts) == 3
	})
	b := s.open(w, s.operator)
	b.goTo("/uploads/" + u.ID)
	b.sees("h1", order(1))
	b.sees(".outcome-panel", "Delivered", "not yet a confirmed payment")
	if n := b.count(".timeline li[id]"); n != 3 {
		t.Errorf("the timeline has %d attempts, want 3", n)
	}
	b.sees("#attempt-1", "API away, not received", "503", "worker-1", "took")
	b.sees("#attempt-2", "No clear answer, may have arrived")
	b.sees("#attempt-3", "Accepted", u.Attempts[2].RequestID)
	b.sees(".voucher", "no longer kept")
	b.until(`[...document.querySelectorAll("button.copy")].every(b => !b.hidden)`)
	b.click("#attempt-3 button.copy")
	b.until(`document.querySelector("#attempt-3 button.copy").textContent === "Copied"`)
	b.shot("upload-delivered")

	b.goTo("/uploads/" + waiting.ID)
	b.sees(".outcome-panel", "Waiting", "tries again by itself", "Send it now", "Discard")
	b.sees(".timeline .future", "Next attempt in")
	b.until(`document.querySelector(".picture img").naturalWidth === 600`)
	b.shot("upload-waiting")
	b.fine()

	rejected := s.rejected(10, 1, angry)[0]
	b.goTo("/uploads/" + rejected.ID)
	b.sees("blockquote", angry)
	if b.count("main script, blockquote *:not(.soft)") != 0 {
		t.Error("PandaPon's words became part of the page")
	}
	b.shot("upload-rejected")
	b.goTo("/uploads/" + mainAccount + "-" + strings.Repeat("a", 26))
	b.sees("main", "Not found", "retention")
	b.shot("not-found")
}

func overviewLook(s *stage, w window) {
	t := s.t
	s.fill()
	b := s.open(w, s.operator)
	b.goTo("/")
	b.sees(".signs", "The circuit breaker of 1 account is open", "wait for a person")
	b.sees(".accounts tbody:first-of-type", "shanghai", "Breaker open", "refuses this account", "Check access key", "Open since", "Next probe",
		"Refused", "HTTP 401", "The signature does not match.")
	b.sees("#account-default", "Breaker closed", "worker-1", "alive")
	for span, bars := range map[string]int{"1h": 1, "7d": 70, "24h": 40} {
		b.follow(`.spans a[href="?span=` + span + `"]`)
		b.sees(".spans [aria-current]", map[string]string{"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}[span])
		if n := b.count(".chart rect.delivered"); n < bars {
			t.Errorf("the chart of %s has %d bars", span, n)
		}
		b.fits()
		b.shot("overview-" + span)
	}
	b.fine()
	b.click(".sign.alarm")
	b.until(`location.hash === "#account-shanghai"`)
	b.follow("#account-shanghai th a")
	b.sees("h1", "Account shanghai")
	b.sees(".account", "Breaker open", "worker-1", "alive", "Backlog")
	b.fits()
	b.shot("account")
	b.goTo("/")
	b.follow(`.counts a[href="/uploads?state=rejected"]`)
	b.sees("h1", "Uploads: Rejected")
	must(t, s.rdb.Set(s.ctx, "asynq:{"+ledger.Queue(mainAccount)+"}:paused", time.Now().Unix(), 0).Err())
	b.goTo("/")
	b.sees(".signs", "1 account is paused in asynq.")
	b.sees("#account-default", "Paused", "until someone resumes the queue")
}

// fill makes an installation that has seen something.
func (s *stage) fill() {
	s.t.Helper()
	s.rejected(300, 3, "The amount on the voucher differs from the order.")
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.Outage, OrderID: order(400)}, sandbox.Fault{Kind: sandbox.NotJSON, OrderID: order(401)})
	for i := range 2 {
		s.comes(s.hand(mainAccount, order(400+i)).ID, func(u ledger.Upload) bool { return u.State == ledger.Waiting && u.AttemptCount == 3 })
	}
	s.openBreaker(5)
	var last ledger.Upload
	for i := range 12 {
		last = s.hand(mainAccount, order(500+i))
	}
	s.ends(last, ledger.Delivered)
	s.past()
}

func listLook(s *stage, w window) {
	t := s.t
	s.fill()
	for i := range 48 {
		s.hand(otherAccount, order(700+i))
	}
	b := s.open(w, s.operator)
	b.goTo("/uploads?account=" + otherAccount)
	seen := map[string]bool{}
	for pages := 1; ; pages++ {
		for _, id := range eval[[]string](b, `[...document.querySelectorAll(".uploads input[name=id]")].map(i => i.value)`) {
			if seen[id] {
				t.Errorf("%s stands on two pages", id)
			}
			seen[id] = true
		}
		if b.count(".pages [rel=next]") == 0 {
			if pages != 2 || len(seen) != 53 {
				t.Errorf("%d uploads on %d pages, want 53 on 2", len(seen), pages)
			}
			break
		}
		b.follow(".pages [rel=next]")
	}
	b.sees(".pages", "First page")
	b.goTo("/uploads?state=waiting")
	b.sees(".tabs [aria-current]", "Waiting")
	b.sees(".uploads tbody", "No clear answer", "next attempt in")
	eval[bool](b, `(document.querySelector("select[name=since]").value = "1h", document.querySelector("select[name=account]").value = "shanghai", true)`)
	b.follow(".filter button")
	if got := b.where(); got != "/uploads?state=waiting&account=shanghai&since=1h&code=" {
		t.Errorf("the filter leads to %s", got)
	}
	b.goTo("/uploads")
	b.fits()
	b.fine()
	b.sees(".title", "Newest first: unfinished uploads by when they were enqueued")
	b.sees(".tabs", "Delivered")
	if at := eval[string](b, `document.querySelector(".uploads time").title`); len(at) != len("2026-11-22 21:04:00") {
		t.Errorf("a time is %q when pointed at", at)
	}
	b.shot("list")
	b.goTo("/uploads?account=shanghai&state=waiting") // what was tried may stand on any page of the others
	b.sees(".why.hold", "waits until its account goes on", "See account shanghai")
	b.goTo("/uploads?state=discarded")
	b.sees("main", "No uploads here.")
}

func actsLook(s *stage, w window) {
	t := s.t
	all := s.rejected(1, 6, angry)
	s.box.SetFaults()
	b := s.open(w, s.operator)
	b.goTo("/uploads?state=rejected")
	if bar := `document.querySelector(".picked").checkVisibility()`; eval[bool](b, bar) {
		t.Error("there are buttons for a selection, and none is made")
	}
	for _, u := range all[:2] {
		b.click(`input[value="` + u.ID + `"]`)
	}
	b.shot("list-selected")
	b.follow(`button[value=retry]`)
	b.sees("main", "Retry 2 uploads?")
	b.shot("ask-several")
	b.follow("button[name=confirmed]")
	b.sees("h1", "2 uploads will be sent again.")
	s.ends(all[0], ledger.Delivered)
	s.ends(all[1], ledger.Delivered)

	b.goTo("/uploads/" + all[2].ID)
	b.follow(".outcome-panel button.danger")
	b.sees("main", "Discard this upload?", "cannot be undone")
	b.click("input[name=reason]")
	b.press("paid twice")
	b.shot("ask-one")
	b.follow("button[name=confirmed]")
	b.sees(".notice", "it has been discarded")
	b.sees(".outcome-panel", "Discarded")
	b.sees(".timeline .action", "Discarded", "by li-na", "it was: Rejected", "paid twice")
	b.shot("upload-acted")
	b.follow(`header a[href="/uploads"]`)
	b.follow(`a[href="/incident"]`)
	b.sees(".report", "Affected uploads: 6 (now: 2 delivered, 3 rejected, 1 discarded)", angry, all[0].RequestID)
	b.click("button.copy")
	b.until(`document.querySelector("button.copy").textContent === "Copied"`)
	b.fits()
	b.shot("incident")

	b.goTo("/uploads?state=rejected")
	b.follow(`button[value=retry-all]`)
	b.sees("main", "Retry all that are in this state?", "State: Rejected", "3 uploads now")
	b.follow("button[name=confirmed]")
	b.sees("h1", "3 uploads will be sent again.")
	b.shot("done-several")
	for _, u := range all[3:] {
		s.ends(u, ledger.Delivered)
	}
	b.follow(".actions a.button")
	b.sees("main", "Nothing is rejected. Good.")
	b.follow(`.tabs a[href="/uploads"]`)
	if n := b.count(".uploads tbody .pick input"); n != 0 {
		t.Errorf("%d uploads that have ended can be picked", n)
	}
	b.fine()
}

func languagesLook(s *stage, w window) {
	t := s.t
	s.fill()
	b := s.open(w, s.operator)
	b.language("zh-CN,zh;q=0.9,en;q=0.8")
	b.goTo("/")
	b.sees("h1", "凭证送达了吗？")
	b.sees(".accounts tbody.open", "熔断器打开", "PandaPon 拒绝此账户。")
	if lang := eval[string](b, "document.documentElement.lang"); lang != "zh-Hans" {
		t.Errorf("the page is in %q", lang)
	}
	b.shot("overview-chinese")
	b.goTo("/uploads?state=waiting")
	b.sees("main", "等待重试", "次尝试")
	b.follow(".cell-order a")
	b.sees(".outcome-panel", "等待重试", "voucherd 会自动重试")
	b.shot("upload-chinese")
	at := b.where()
	b.follow(`.languages button[value=en]`)
	b.sees(".outcome-panel", "Waiting")
	if b.where() != at {
		t.Errorf("the switch led from %s to %s", at, b.where())
	}
	b.goTo("/")
	b.sees("h1", "Did the voucher go through?")
	b.follow(`.languages button[value=zh]`)
	b.sees("h1", "凭证送达了吗？")
	b.fine()
}
