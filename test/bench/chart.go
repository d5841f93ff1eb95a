package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is groups of columns, with whiskers for the ranges.
type chart struct {
	file, title, unit string
	log               bool // the axis is logarithmic
	categories        []string
	series            []series
}

// series is one column of every group; a zero is left out.
type series struct {
	name   string
	values []spread
}

// Measures of a chart, in pixels.
const (
	chartWidth  = 860
	chartHeight = 360
	left        = 64
	right       = 16
	top         = 64
	bottom      = 36
)

// chartStyle follows the reader's light or dark page. The colours can be told apart by the colour-blind too.
const chartStyle = `<style>
text{font:12px system-ui,sans-serif;fill:#333}.t{font-size:15px;font-weight:600}.n{font-size:9.5px;text-anchor:middle}
.g{stroke:#ddd}.w{stroke:#333;fill:none}
.c0{fill:#8a8a8a}.c1{fill:#d55e00}.c2{fill:#0072b2}.c3{fill:#56b4e9}.c4{fill:#e69f00}.c5{fill:#009e73}
@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#444}.w{stroke:#ddd}}
</style>
`

// svg draws the chart.
func (c chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">`+"\n<title>%s</title>\n%s",
		chartWidth, chartHeight, html.EscapeString(c.title), chartStyle)
	fmt.Fprintf(&b, `<text class="t" x="%d" y="20">%s</text>`+"\n", left, html.EscapeString(c.title+", "+c.unit))
	c.legend(&b)
	from, to := c.axis()
	c.grid(&b, from, to)
	group := float64(chartWidth-left-right) / float64(len(c.categories))
	column := group * 0.86 / float64(len(c.series))
	for i, name := range c.categories {
		x := left + group*float64(i)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x+group/2, chartHeight-12, html.EscapeString(name))
		for j, s := range c.series {
			if s.values[i] != (spread{}) {
				c.column(&b, j, s.values[i], x+group*0.07+column*float64(j), column, func(v float64) float64 { return c.y(v, from, to) })
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c chart) legend(b *strings.Builder) {
	x := float64(left)
	for j, s := range c.series {
		fmt.Fprintf(b, `<rect class="c%d" x="%.0f" y="32" width="11" height="11"/><text x="%.0f" y="42">%s</text>`+"\n",
			j, x, x+16, html.EscapeString(s.name))
		x += 34 + 6.6*float64(len(s.name))
	}
}

func (c chart) column(b *strings.Builder, color int, s spread, x, width float64, y func(float64) float64) {
	over := y(s.Median)
	fmt.Fprintf(b, `<rect class="c%d" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, color, x, over, width*0.92, chartHeight-bottom-over)
	mid := x + width*0.46
	if s.Min != s.Max {
		fmt.Fprintf(b, `<path class="w" d="M%.1f %.1fV%.1f"/>`, mid, y(s.Min), y(s.Max))
	}
	fmt.Fprintf(b, `<text class="n" x="%.1f" y="%.1f">%s</text>`+"\n", mid, y(s.Max)-4, digits(s.Median))
}

// axis gives its ends.
func (c chart) axis() (from, to float64) {
	low, high := math.Inf(1), 0.0
	for _, s := range c.series {
		for _, v := range s.values {
			if v != (spread{}) {
				low, high = min(low, v.Min), max(high, v.Max)
			}
		}
	}
	if !c.log || low <= 0 || high == 0 {
		return 0, max(high*1.08, 1e-9)
	}
	return math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Log10(high)+0.12)
}

func (c chart) y(v, from, to float64) float64 {
	share := (v - from) / (to - from)
	if from > 0 {
		share = math.Log(v/from) / math.Log(to/from)
	}
	return chartHeight - bottom - share*(chartHeight-bottom-top)
}

func (c chart) grid(b *strings.Builder, from, to float64) {
	line := func(v float64) {
		y := c.y(v, from, to)
		fmt.Fprintf(b, `<path class="g" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, y, chartWidth-right, left-6, y+4, shortly(v))
	}
	if from > 0 {
		for v := from; v <= to; v *= 10 {
			line(v)
		}
		return
	}
	step := math.Pow(10, math.Floor(math.Log10(to)))
	for to/step < 4 {
		step /= 2
	}
	for v := 0.0; v <= to; v += step {
		line(v)
	}
}

func shortly(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%.3g", v)
}
