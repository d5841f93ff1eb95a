package learn

import (
	"iter"

	"github.com/voucherd/voucherd/pandapon"
)

// Digests gives what every rule makes of a request, if its signature has this form.
func Digests(r Request, secret pandapon.Secret) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s, err := newSearch(r, secret)
		if err != nil {
			return
		}
		for _, digest := range s.rules() {
			if !yield(digest) {
				return
			}
		}
	}
}

// Joins lists what is tried between the parts.
func Joins() []string { return joins() }
