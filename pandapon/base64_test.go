package pandapon

import (
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

func TestEncodeBase64(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	dst := make([]byte, base64.StdEncoding.EncodedLen(5000))
	for size := range 5000 {
		src := make([]byte, size)
		for i := range src {
			src[i] = byte(random.Uint32() & 0xff)
		}
		if got, want := string(dst[:encodeBase64(dst, src)]), base64.StdEncoding.EncodeToString(src); got != want {
			t.Fatalf("%d bytes: got %.80s, want %.80s", size, got, want)
		}
	}
}

func BenchmarkEncodeBase64(b *testing.B) {
	src, dst := make([]byte, rawChunk), make([]byte, encodedChunk)
	for name, encode := range map[string]func(){
		"own":      func() { encodeBase64(dst, src) },
		"standard": func() { base64.StdEncoding.Encode(dst, src) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(rawChunk)
			for b.Loop() {
				encode()
			}
		})
	}
}
