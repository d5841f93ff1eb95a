package browser_test

import (
	"encoding/base64"
	"html"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// terminalLook draws what people see in a terminal.
func terminalLook(s *stage, w window) {
	s.box.SetFaults(sandbox.Fault{Kind: sandbox.Outage, OrderID: order(1), Times: 2}, sandbox.Fault{Kind: sandbox.Outage, OrderID: order(3)})
	s.ends(s.hand(mainAccount, order(1)), ledger.Delivered)
	s.comes(s.hand(mainAccount, order(3)).ID, func(u ledger.Upload) bool { return len(u.Attempts) == 3 })
	program := filepath.Join(s.t.TempDir(), "voucherd")
	if out, err := exec.CommandContext(s.ctx, "go", "build", "-o", program, "../../cmd/voucherd").CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	var screen strings.Builder
	for _, args := range [][]string{{"show", order(1)}, {"show", order(3)}} {
		screen.WriteString("<b>$ voucherd " + strings.Join(args, " ") + "</b>\n")
		cmd := exec.CommandContext(s.ctx, program, append(args, "--color=always")...)
		cmd.Env = []string{"VOUCHERD_REDIS_URL=redis://" + s.rdb.Options().Addr}
		out, err := cmd.Output()
		must(s.t, err)
		screen.WriteString(coloured(string(out)) + "\n")
	}
	b := s.open(w, "")
	must(s.t, chromedp.Do(b.ctx, chromedp.EmulateViewport(1000, 650)))
	page := `<!doctype html><meta charset="utf-8"><style>body { margin: 0; background: #16181d }
pre { margin: 0; padding: 20px; width: max-content; font: 12px/1.4 monospace; color: #d6d9e0 }
.c1 { font-weight: bold } .c2 { opacity: .65 } .c31 { color: #ff7b72 } .c32 { color: #7ee787 } .c33 { color: #e3b341 } .c90 { color: #8b919c } .c36 { color: #79c0ff }</style><pre>` +
		screen.String() + "</pre>"
	must(s.t, chromedp.Do(b.ctx, chromedp.Navigate("data:text/html;base64,"+base64.StdEncoding.EncodeToString([]byte(page)))))
	b.sees("pre", "delivered", "waiting", "worker-1")
	b.fits()
	b.shot("terminal")
}

var colour = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// coloured makes HTML of what a program printed for a terminal.
func coloured(text string) string {
	open := false
	return colour.ReplaceAllStringFunc(html.EscapeString(text), func(code string) string {
		end := ""
		if open {
			end = "</span>"
		}
		n := colour.FindStringSubmatch(code)[1]
		if open = n != "" && n != "0"; !open {
			return end
		}
		return end + `<span class="c` + strings.ReplaceAll(n, ";", " c") + `">`
	})
}
