package history_test

import (
	"cmp"
	"fmt"
	"html"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/voucherd/voucherd/ledger"
)

// example is the history that tells most in least space.
type example struct {
	mu   sync.Mutex
	best history
}

// offer takes a history if it tells of a cut connection, a takeover and a late delivery, has a call
// that happened before one that began earlier, and is shorter than the one so far.
func (e *example) offer(t *testing.T, h history) {
	t.Helper()
	var cut, busy, over, late bool
	var told history
	for _, r := range h {
		if r.out.what != "busy" && h.idle(r) {
			continue
		}
		told = append(told, r)
		cut = cut || r.out.unknown
		busy = busy || r.out.what == "busy"
		over = over || r.in.kind == recovery && r.out.what != ""
		late = late || r.out.what == "late" && r.out.state == ledger.Delivered
	}
	const most = 16
	e.mu.Lock()
	defer e.mu.Unlock()
	if !cut || !busy || !over || !late || len(told) > most || e.best != nil && len(told) >= len(e.best) {
		return
	}
	if !slices.IsSortedFunc(told.inOrder(), func(a, b record) int { return cmp.Compare(a.began, b.began) }) {
		e.best = told
	}
}

const (
	column, row = 250, 20 // px
	top, left   = 30, 10
	indent      = 24
)

// draw writes the picture: a column for each client, time going down from event to event, and in
// each call the place at which it seems to have happened at once.
func (e *example) draw(t *testing.T, path string) {
	t.Helper()
	if e.best == nil {
		t.Fatal("no history tells enough: try more of them")
	}
	all := e.best.inOrder()
	events := all.rank()
	clients := []int{}
	for _, r := range all {
		clients = append(clients, r.client)
	}
	slices.Sort(clients)
	clients = slices.Compact(clients)
	width, height := 2*left+column*len(clients), top+row*(len(events)+1)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	b.WriteString("<title>A history of one order and the order of its calls that explains it</title>\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for i := range clients {
		fmt.Fprintf(&b, `<text x="%d" y="20" font-weight="bold">client %d</text>`+"\n", left+column*i, i+1)
	}
	at := all.points(events)
	for n, r := range all {
		x, width := left+column*slices.Index(clients, r.client), column-12
		// A call whose reply was lost is made again before it counts as done.
		if slices.ContainsFunc(all, func(o record) bool { return o.client == r.client && o.began < r.began && o.done > r.began }) {
			x, width = x+indent, width-indent
		}
		box(&b, r, x, width, events, height)
		fmt.Fprintf(&b, `<circle cx="%d" cy="%.1f" r="8" fill="#1a5fb4"/><text x="%d" y="%.1f" fill="#fff" font-size="10" text-anchor="middle">%d</text>`+"\n",
			x+14, at[n], x+14, at[n]+3.5, n+1)
	}
	b.WriteString("</svg>\n")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Error(err)
	}
}

// inOrder gives the calls of a linearizable history in an order that explains it.
func (h history) inOrder() (all history) {
	_, info := porcupine.CheckOperationsVerbose(model(), h.operations(), checkLimit)
	for _, i := range info.PartialLinearizations()[0][0] {
		all = append(all, h[i])
	}
	return all
}

// rank gives the place of each call's beginning and end among all of them.
func (h history) rank() map[int64]int {
	var times []int64
	for _, r := range h {
		times = append(times, r.began, r.done)
	}
	slices.Sort(times)
	ranks := map[int64]int{}
	for i, at := range slices.Compact(times) {
		ranks[at] = i
	}
	return ranks
}

// points gives how far down each call happens: as early as it can after those before it.
func (h history) points(events map[int64]int) []float64 {
	from := make([]int, len(h))
	for i, r := range h {
		from[i] = events[r.began]
		if i > 0 {
			from[i] = max(from[i], from[i-1])
		}
	}
	at := make([]float64, len(from))
	for i, f := range from {
		first := slices.Index(from, f)
		n := 0
		for _, g := range from {
			if g == f {
				n++
			}
		}
		at[i] = top + row*(float64(f)+float64(i-first+1)/float64(n+1))
	}
	return at
}

// box draws one call.
func box(b *strings.Builder, r record, x, width int, events map[int64]int, height int) {
	fill, border := "#e8f0fa", ""
	switch {
	case r.out.unknown:
		fill, border = "#fdf0d5", ` stroke-dasharray="4 3"`
	case r.in.kind == begin && r.out.what == "started", r.in.kind == finish:
		fill = "#dff2e1"
	}
	y, end := top+row*events[r.began], top+row*events[r.done]
	if r.done == never {
		end = height
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="4" fill="%s" stroke="#667"%s/>`+"\n", x, y+1, width, end-y-2, fill, border)
	call, said := html.EscapeString(describeCall(r.in)), html.EscapeString(describeAnswer(r.in, r.out))
	if end-y >= 2*row && !r.out.unknown {
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text><text x="%d" y="%d" fill="#444">→ %s</text>`+"\n", x+28, y+15, call, x+28, y+30, said)
		return
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s <tspan fill="#444">→ %s</tspan></text>`+"\n", x+28, y+15, call, said)
}
