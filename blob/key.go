package blob

import (
	"fmt"
	"strings"

	"github.com/voucherd/voucherd/internal/accountname"
)

const (
	randomLetters = 26 // of rand.Text: base32, 130 bits
)

// place is a key taken apart. Only checked parts get in, so that none can leave the blob store's
// own directory or key space.
type place struct {
	key, account, random string
}

func newPlace(account string) (place, error) {
	if !accountname.Valid(account) {
		return place{}, fmt.Errorf("account: %q %s", account, accountname.Rule)
	}
	random := randomName()
	return place{key: account + "-" + random, account: account, random: random}, nil
}

// placeOf takes a key apart. What is no key names no voucher, so the error is ErrMissing.
func placeOf(key string) (place, error) {
	cut := len(key) - randomLetters - 1
	if cut > 0 && key[cut] == '-' && accountname.Valid(key[:cut]) && validRandom(key[cut+1:]) {
		return place{key: key, account: key[:cut], random: key[cut+1:]}, nil
	}
	return place{}, fmt.Errorf("%q is not a store key: %w", key, ErrMissing)
}

func validRandom(s string) bool {
	return len(s) == randomLetters && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '2' || r > '7')
	})
}

func placesOf(keys []string) ([]place, error) {
	places := make([]place, len(keys))
	for i, key := range keys {
		p, err := placeOf(key)
		if err != nil {
			return nil, err
		}
		places[i] = p
	}
	return places, nil
}
