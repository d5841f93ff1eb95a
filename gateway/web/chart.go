package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// chart is a picture of what happened in each step of a span. Its units are those of the picture, y
// downwards; it is stretched to its place, so they are no pixels.
type chart struct {
	Name      string // of the message that is its title
	Width     float64
	Top, Half string // the scale; "": nothing to show
	Low       string // its lowest value
	Series    []series
	Columns   []column
}

// series is one kind of value, and its line if it has one.
type series struct {
	Class, Name, Value, Line string
	steps                    []int64 // its values, where they are drawn as bars
}

// column is one step: the place over which a pointer shows its text, and the values, one on another.
type column struct {
	X    float64
	Text string
	Bars []bar
}

type bar struct {
	Class string
	X     float64
	Y, H  float64
}

// The pictures' measures.
const (
	chartHeight = 100.0
	slotWidth   = 10.0
	barWidth    = 7.0
	leastHeight = 1.5 // what there is shows, however little
)

// Height is the picture's height.
func (chart) Height() float64 { return chartHeight }

// Slot and Bar are the widths of a step and of its bar.
func (chart) Slot() float64 { return slotWidth }

// Bar is the width of a bar.
func (chart) Bar() float64 { return barWidth }

// Summary says in words what the picture shows.
func (c chart) Summary() string {
	all := make([]string, len(c.Series))
	for i, s := range c.Series {
		all[i] = s.Name + " " + s.Value
	}
	return strings.Join(all, ", ")
}

// charts draws what happened in these accounts together.
func charts(w words, s span, lately []ledger.Activity, accounts []tasks.AccountStatus) []chart {
	if len(accounts) == 0 {
		return nil
	}
	steps := together(lately, s.Steps)
	now := &steps[len(steps)-1]
	now.Watched, now.Backlog = true, 0
	for _, a := range accounts {
		now.Backlog += a.Backlog
	}
	return []chart{attemptsChart(w, s, steps), callsChart(w, s, steps), backlogChart(w, s, steps)}
}

// stacks draws each step's values, one on another.
func stacks(w words, s span, name string, kinds []series) chart {
	c := chart{Name: name, Width: slotWidth * float64(s.Steps), Series: kinds, Columns: make([]column, s.Steps)}
	var most int64
	for i := range c.Columns {
		var sum int64
		for _, k := range kinds {
			sum += k.steps[i]
		}
		most = max(most, sum)
	}
	top := c.scale(most, w.Num)
	for i := range c.Columns {
		col := column{X: slotWidth * float64(i), Text: w.before(s, i)}
		y := chartHeight
		for _, k := range kinds {
			n := k.steps[i]
			if n == 0 {
				continue
			}
			h := max(leastHeight, float64(n)/float64(top)*(chartHeight-leastHeight*float64(len(kinds))))
			y -= h
			col.Bars = append(col.Bars, bar{k.Class, col.X + (slotWidth-barWidth)/2, y, h})
			col.Text += fmt.Sprintf(" · %s %s", k.Name, w.Num(n))
		}
		c.Columns[i] = col
	}
	return c
}

// scale writes the scale for values up to most, and gives its top.
func (c *chart) scale(most int64, write func(int64) string) int64 {
	top := roundUp(most)
	c.Low = "0"
	if top > 0 {
		c.Top = write(top)
	}
	if top > 0 && top%2 == 0 {
		c.Half = write(top / 2)
	}
	return top
}

func attemptsChart(w words, s span, steps []ledger.Step) chart {
	kind := func(class, name string, outcomes ...ledger.Outcome) series {
		k := series{Class: class, Name: w.texts[name], steps: make([]int64, len(steps))}
		var sum int64
		for i, step := range steps {
			for _, o := range outcomes {
				k.steps[i] += step.Attempts[o]
				sum += step.Attempts[o]
			}
		}
		k.Value = w.Num(sum)
		return k
	}
	return stacks(w, s, "chart.attempts", []series{
		kind("delivered", "chart.delivered", ledger.OutcomeDelivered),
		kind("refused", "chart.refused", ledger.OutcomeRefused, ledger.OutcomeInvalid),
		kind("throttled", "chart.throttled", ledger.OutcomeThrottled),
		kind("unanswered", "chart.unanswered", ledger.OutcomeUnavailable, ledger.OutcomeUnclear, ledger.OutcomeInterrupted),
	})
}

func backlogChart(w words, s span, steps []ledger.Step) chart {
	now := series{Class: "backlog", Name: w.texts["time.now"], Value: w.Num(steps[len(steps)-1].Backlog)}
	for _, step := range steps {
		now.steps = append(now.steps, step.Backlog)
	}
	return stacks(w, s, "chart.backlog", []series{now})
}

// leastCall is the lowest value of the picture of calls, whose scale is logarithmic: a time-out takes a
// thousand times as long as a call.
const leastCall = 10 * time.Millisecond

// decades writes the scale for calls of at most this length, and gives how many powers of ten it has.
func (c *chart) decades(w words, most time.Duration) float64 {
	if most == 0 {
		return 1
	}
	n, top := 2, 100*leastCall
	for ; top < most; n += 2 {
		top *= 100
	}
	c.Low, c.Half, c.Top = w.Dur(leastCall), w.Dur(leastCall*time.Duration(math.Pow10(n/2))), w.Dur(top)
	return float64(n)
}

// callsChart draws how long calls took, as lines that break where there was none.
func callsChart(w words, s span, steps []ledger.Step) chart {
	c := chart{Name: "chart.calls", Width: slotWidth * float64(s.Steps)}
	var most time.Duration
	var all ledger.Durations
	for _, step := range steps {
		most = max(most, step.Calls.Percentile(.95))
		all.Add(step.Calls)
	}
	decades := c.decades(w, most)
	for i := range steps {
		c.Columns = append(c.Columns, column{X: slotWidth * float64(i), Text: w.before(s, i)})
	}
	for _, kind := range []struct {
		class, name string
		share       float64
	}{{"p95", "chart.p95", .95}, {"p50", "chart.p50", .5}} {
		k := series{Class: kind.class, Name: w.texts[kind.name], Value: w.took(all.Percentile(kind.share))}
		joint := "M"
		for i, step := range steps {
			took := step.Calls.Percentile(kind.share)
			if took == 0 {
				joint = "M"
				continue
			}
			y := chartHeight * (1 - math.Log10(max(1, float64(took)/float64(leastCall)))/decades)
			k.Line += fmt.Sprintf("%s%g %.1fh.1", joint, c.Columns[i].X+slotWidth/2, y)
			c.Columns[i].Text += fmt.Sprintf(" · %s %s", k.Name, w.took(took))
			joint = "L"
		}
		c.Series = append(c.Series, k)
	}
	return c
}

// took writes how long a call took; it is known to a fifth only.
func (w words) took(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 100*time.Millisecond:
		return w.Dur(d)
	case d < time.Second:
		return w.Dur(d.Round(10 * time.Millisecond))
	default:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
}

// Took writes the same of milliseconds.
func (w words) Took(ms int64) string { return w.took(time.Duration(ms) * time.Millisecond) }

// before says how long ago a step of a span was.
func (w words) before(s span, i int) string {
	if i == s.Steps-1 {
		return w.texts["time.now"]
	}
	return fmt.Sprintf(w.texts["time.ago"], w.Dur(s.Step*time.Duration(s.Steps-1-i)))
}

// figure writes a number that need not be whole.
func figure(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// roundUp gives the next number that is easily read, and is even if it is not 1.
func roundUp(n int64) int64 {
	if n <= 1 {
		return max(n, 0)
	}
	for unit := int64(1); unit < math.MaxInt64/1000; unit *= 10 {
		for _, times := range []int64{2, 4, 6, 8, 10, 12, 16} {
			if n <= times*unit {
				return times * unit
			}
		}
	}
	return n
}
