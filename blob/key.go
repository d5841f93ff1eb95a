package blob

import (
	"crypto/rand"
	"fmt"
	"strings"
)

const (
	randomLetters  = 26 // of rand.Text: base32, 130 bits
	longestAccount = 32
)

// place is a key taken apart. Only checked parts get in, so that none can leave
// the blob store's own directory or key space.
type place struct {
	key, account, random string
}

func newPlace(account string) (place, error) {
	if !validAccount(account) {
		return place{}, fmt.Errorf("account %q: want 1 to %d of a-z, 0-9 and -", account, longestAccount)
	}
	random := strings.ToLower(rand.Text())
	return place{key: account + "-" + random, account: account, random: random}, nil
}

// placeOf takes a key apart. What is no key names no voucher, so the error is
// ErrMissing.
func placeOf(key string) (place, error) {
	cut := len(key) - randomLetters - 1
	if cut > 0 && key[cut] == '-' && validAccount(key[:cut]) && validRandom(key[cut+1:]) {
		return place{key: key, account: key[:cut], random: key[cut+1:]}, nil
	}
	return place{}, fmt.Errorf("%q is not a store key: %w", key, ErrMissing)
}

func validAccount(s string) bool {
	return s != "" && len(s) <= longestAccount && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
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
