package browser_test

import (
	"github.com/voucherd/voucherd/ledger"
)

// holdsLook pauses an account and resumes it, and looks at one that nobody works for.
func holdsLook(s *stage, w window) {
	t := s.t
	s.ends(s.hand(mainAccount, order(1)), ledger.Delivered)
	s.ends(s.hand(otherAccount, order(2)), ledger.Delivered)
	b := s.open(w, s.operator)
	b.goTo("/")
	b.sees(".signs", "All accounts are delivering")
	b.sees(".accounts", "Workers", "worker-1", "alive")
	b.follow(`form[action="/accounts/default/pause"] button`)
	b.sees("h1", "Pause account default?")
	b.click("input[name=reason]")
	b.press("month-end audit")
	eval[bool](b, `(document.querySelector("select[name=for]").value = "4h", true)`)
	b.contrast()
	b.shot("ask-pause")
	b.follow("button[name=confirmed]")
	b.sees(".notice", "the account is paused")
	b.sees(".accounts .paused", "default", "Paused by a person", "Paused by li-na:", "month-end audit", "in 3 h")
	u := s.hand(mainAccount, order(3))
	s.ends(s.hand(otherAccount, order(4)), ledger.Delivered)
	b.goTo("/")
	b.sees(".signs", "1 account is paused by a person.")
	b.contrast()
	b.fits()
	b.shot("overview-paused")
	b.goTo("/uploads/" + u.ID)
	b.sees(".outcome-panel", "Queued", "Paused by li-na:", "month-end audit")
	b.shot("upload-paused")
	b.goTo("/")
	b.follow(`form[action="/accounts/default/resume"] button`)
	b.sees(".notice", "the account goes on")
	s.ends(u, ledger.Delivered)

	s.stopWorker()
	must(t, s.rdb.Del(s.ctx, "voucherd:{"+ledger.Queue(otherAccount)+"}:workers").Err())
	u = s.hand(otherAccount, order(5))
	b.goTo("/")
	b.sees(".signs", "Uploads of 1 account wait and no worker is running.")
	b.sees(".accounts .open", "shanghai", "No worker is running.")
	if b.count(".sign.fine") != 0 {
		t.Error("it is green although nothing works")
	}
	b.fits()
	b.fine()
	for _, scheme := range []string{"light", "dark"} {
		b.prefer("prefers-color-scheme", scheme)
		b.contrast()
		b.shot("overview-no-worker-" + scheme)
	}
	b.goTo("/uploads/" + u.ID)
	b.sees(".outcome-panel", "Queued", "No worker is running.")
	b.contrast()
	b.shot("upload-no-worker")
	b.follow(`.languages button[value=zh]`)
	b.goTo("/")
	b.sees(".signs", "没有工作进程在运行")
	b.fits()
	b.shot("overview-no-worker-zh")
}
