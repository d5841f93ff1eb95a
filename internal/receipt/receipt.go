// Package receipt draws payment receipts for demonstrations and tests: real pictures with an
// order's number and the amount paid on them.
package receipt

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Receipt is what stands on the picture. ASCII only.
type Receipt struct {
	Order  string
	Amount string // "CNY 128.50"
	Paid   string // when
}

// Draw writes the picture, a JPEG. The same receipt gives the same bytes.
func Draw(w io.Writer, r Receipt) error {
	img := image.NewRGBA(image.Rect(0, 0, 600, 800))
	ink, grey, green := color.Gray{Y: 20}, color.Gray{Y: 120}, color.RGBA{R: 20, G: 120, B: 60, A: 255}
	draw.Draw(img, img.Bounds(), image.NewUniform(color.Gray{Y: 240}), image.Point{}, draw.Src)
	text(img, 140, 60, 3, "PAYMENT RECEIPT", ink)
	y := 190
	for _, row := range [][2]string{{"Order", r.Order}, {"Paid on", r.Paid}, {"Method", "Bank transfer"}, {"Payee", "PandaPon"}} {
		text(img, 50, y, 2, row[0], grey)
		text(img, 200, y, 2, row[1], ink)
		y += 55
	}
	text(img, 50, y+45, 2, "Amount", grey)
	text(img, 50, y+80, 4, r.Amount, ink)
	text(img, 365, 660, 3, "P A I D", green)
	if err := jpeg.Encode(w, img, &jpeg.Options{Quality: 85}); err != nil {
		return fmt.Errorf("draw the receipt of order %s: %w", r.Order, err)
	}
	return nil
}

// text writes s with its upper left corner at x, y, enlarged: the font has one small size.
func text(img draw.Image, x, y, times int, s string, c color.Color) {
	f := basicfont.Face7x13
	small := image.NewRGBA(image.Rect(0, 0, f.Advance*len(s)+1, f.Height))
	d := font.Drawer{Dst: small, Src: image.NewUniform(c), Face: f, Dot: fixed.P(0, f.Ascent)}
	d.DrawString(s)
	b := small.Bounds()
	draw.NearestNeighbor.Scale(img, image.Rect(x, y, x+times*b.Dx(), y+times*b.Dy()), small, b, draw.Over, nil)
}
