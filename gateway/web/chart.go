package web

import "math"

// chart is the bars of what ended. Its units are those of the picture: chartWidth wide, chartHeight
// high, y downwards.
type chart struct {
	Bars              []bar
	Most              int64 // the value at the top
	Delivered, Failed int64
}

// bar is one step: what was delivered, and on top of it what was not.
type bar struct {
	X, Width                 float64
	DeliveredY, DeliveredH   float64
	FailedY, FailedH         float64
	Delivered, Failed        int64
	HoursFrom, HoursTo       int // ago
	SlotX, SlotWidth, Height float64
}

// The picture's measures. It is stretched to its place, so they are no pixels.
const (
	chartHeight = 100.0
	slotWidth   = 10.0
	barWidth    = 7.0
	leastHeight = 1.5 // what there is shows, however little
)

// Width is the picture's width.
func (c chart) Width() float64 { return float64(len(c.Bars)) * slotWidth }

// Height is the picture's height.
func (c chart) Height() float64 { return chartHeight }

// Half is the value in the middle; 0 if it is no whole number.
func (c chart) Half() int64 {
	if c.Most%2 != 0 {
		return 0
	}
	return c.Most / 2
}

func newChart(accounts []ended) *chart {
	c := &chart{Bars: make([]bar, chartBars)}
	most := int64(0)
	for i := range c.Bars {
		b := &c.Bars[i]
		for _, a := range accounts {
			b.Delivered += a.delivered[i]
			b.Failed += a.failed[i]
		}
		c.Delivered += b.Delivered
		c.Failed += b.Failed
		most = max(most, b.Delivered+b.Failed)
	}
	c.Most = roundUp(most)
	for i := range c.Bars {
		b := &c.Bars[i]
		b.SlotX, b.SlotWidth, b.Height = float64(i)*slotWidth, slotWidth, chartHeight
		b.X, b.Width = b.SlotX+(slotWidth-barWidth)/2, barWidth
		b.DeliveredH, b.FailedH = c.high(b.Delivered), c.high(b.Failed)
		b.DeliveredY = chartHeight - b.DeliveredH
		b.FailedY = b.DeliveredY - b.FailedH
		b.HoursFrom, b.HoursTo = chartBars-i, chartBars-i-1
	}
	return c
}

func (c *chart) high(n int64) float64 {
	if n == 0 || c.Most == 0 {
		return 0
	}
	return max(leastHeight, float64(n)/float64(c.Most)*(chartHeight-2*leastHeight))
}

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
