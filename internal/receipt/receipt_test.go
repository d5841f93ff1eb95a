package receipt_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"

	"github.com/voucherd/voucherd/internal/receipt"
)

func TestDrawsRealPictures(t *testing.T) {
	t.Parallel()
	r := receipt.Receipt{Order: "1800000000000000001", Amount: "CNY 1,280.50", Paid: "2026-01-02 15:04"}
	img, err := jpeg.Decode(bytes.NewReader(drawn(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	if !inked(img, image.Rect(200, 190, 550, 216)) {
		t.Error("no ink where the order's number should stand")
	}
}

func TestTheSameReceiptIsTheSamePicture(t *testing.T) {
	t.Parallel()
	one := receipt.Receipt{Order: "1", Amount: "CNY 1.00", Paid: "today"}
	two := one
	two.Order = "2"
	if !bytes.Equal(drawn(t, one), drawn(t, one)) {
		t.Error("the same receipt was drawn differently")
	}
	if bytes.Equal(drawn(t, one), drawn(t, two)) {
		t.Error("two orders have the same picture")
	}
}

func drawn(t *testing.T, r receipt.Receipt) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := receipt.Draw(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inked says whether a part of a picture has dark pixels.
func inked(img image.Image, part image.Rectangle) bool {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			if r, _, _, _ := img.At(x, y).RGBA(); r < 0x4000 {
				return true
			}
		}
	}
	return false
}
