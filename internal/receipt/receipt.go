// Package receipt draws payment receipts for demonstrations and tests: real pictures with an
// order's number and the amount paid on them.
package receipt

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Format is the kind of picture.
type Format string

// The formats.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
)

// Receipt is what stands on the picture. ASCII only.
type Receipt struct {
	Order  string
	Amount string // "CNY 128.50"
	Paid   string // when
	Format Format // empty: PNG
}

// The size of the picture in pixels. Text is drawn at half or a third of it and scaled, for the
// font has one small size.
const (
	width, height = 600, 800
	scale         = 2
)

// Draw writes the picture. The same receipt gives the same bytes.
func Draw(w io.Writer, r Receipt) error {
	img := paper(r.Order)
	ink, grey, green := color.Gray{Y: 20}, color.Gray{Y: 120}, color.RGBA{R: 20, G: 120, B: 60, A: 255}
	title(img, 60, "PAYMENT RECEIPT", ink)
	rule(img, 150)
	y := 190
	for _, row := range [][2]string{{"Order", r.Order}, {"Paid on", r.Paid}, {"Method", "Bank transfer"}, {"Payee", "PandaPon"}} {
		text(img, 50, y, scale, row[0], grey)
		text(img, 200, y, scale, row[1], ink)
		y += 55
	}
	rule(img, y+10)
	text(img, 50, y+45, scale, "Amount", grey)
	text(img, 50, y+80, 2*scale, r.Amount, ink)
	frame(img, image.Rect(330, 640, 550, 720), green)
	text(img, 365, 660, 3, "P A I D", green)
	if r.Format == JPEG {
		if err := jpeg.Encode(w, img, &jpeg.Options{Quality: 85}); err != nil {
			return fmt.Errorf("draw the receipt of order %s: %w", r.Order, err)
		}
		return nil
	}
	quick := png.Encoder{CompressionLevel: png.BestSpeed} // the paper's grain is what a search for repeats dwells on
	if err := quick.Encode(w, indexed(img)); err != nil {
		return fmt.Errorf("draw the receipt of order %s: %w", r.Order, err)
	}
	return nil
}

// indexed gives the picture as numbers of colours, of which it has few: so a PNG takes a tenth of
// the time and room.
func indexed(img *image.RGBA) *image.Paletted {
	p := image.NewPaletted(img.Bounds(), nil)
	numbers := map[[4]byte]uint8{}
	for i := range p.Pix {
		c := [4]byte(img.Pix[4*i:])
		n, known := numbers[c]
		if !known {
			n = uint8(len(p.Palette)) //nolint:gosec // shades of paper, ink, grey and green: far below 256
			numbers[c] = n
			p.Palette = append(p.Palette, color.RGBA{R: c[0], G: c[1], B: c[2], A: c[3]})
		}
		p.Pix[i] = n
	}
	return p
}

// paper is not quite white, like a photograph; the order's number makes it differ from others.
func paper(seed string) *image.RGBA {
	var state [32]byte
	copy(state[:], seed)
	dice := rand.New(rand.NewChaCha8(state))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	var grain uint64
	for i := 0; i < len(img.Pix); i += 4 {
		if i%64 == 0 {
			grain = dice.Uint64() // enough for 16 pixels
		}
		shade := byte(244 - 12*(i/img.Stride)/height + int(grain&3)) //nolint:gosec // 232 to 247
		grain >>= 4
		img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = shade, shade, shade-6, 255
	}
	return img
}

// title writes in the middle, large.
func title(img draw.Image, y int, s string, c color.Color) {
	text(img, (width-3*face().Advance*len(s))/2, y, 3, s, c)
}

func face() *basicfont.Face { return basicfont.Face7x13 }

// text writes s with its upper left corner at x, y, enlarged.
func text(img draw.Image, x, y, times int, s string, c color.Color) {
	f := face()
	small := image.NewRGBA(image.Rect(0, 0, f.Advance*len(s)+1, f.Height))
	d := font.Drawer{Dst: small, Src: image.NewUniform(c), Face: f, Dot: fixed.P(0, f.Ascent)}
	d.DrawString(s)
	b := small.Bounds()
	draw.NearestNeighbor.Scale(img, image.Rect(x, y, x+times*b.Dx(), y+times*b.Dy()), small, b, draw.Over, nil)
}

// rule draws a dashed line.
func rule(img draw.Image, y int) {
	for x := 50; x < width-50; x++ {
		if x/8%2 == 0 {
			img.Set(x, y, color.Gray{Y: 150})
			img.Set(x, y+1, color.Gray{Y: 150})
		}
	}
}

// frame draws the border of a stamp.
func frame(img draw.Image, r image.Rectangle, c color.Color) {
	const thick = 4
	for _, side := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+thick)},
		{image.Pt(r.Min.X, r.Max.Y-thick), r.Max},
		{r.Min, image.Pt(r.Min.X+thick, r.Max.Y)},
		{image.Pt(r.Max.X-thick, r.Min.Y), r.Max},
	} {
		draw.Draw(img, side, image.NewUniform(c), image.Point{}, draw.Src)
	}
}
