package pandapon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A rule's text is the list of its parts and, after a semicolon, the words of its method, as far as
// they are not the default's:
//
//	access-key,timestamp,nonce-str,secret
//	access-key,timestamp,nonce-str; hmac-sha256 lower-hex join=&
const (
	hmacPrefix = "hmac-"
	joinPrefix = "join="
)

// ParseSignRule reads a rule's text: parts between commas and, after a semicolon, any of: a hash
// (md5, sha1, sha256, sha512, each with hmac- before it or not), an encoding (upper-hex, lower-hex,
// base64), and join= with what stands between the parts (space and newline by these names). Blanks
// around words are dropped. It refuses unknown and repeated words, and a rule without the secret,
// by which anyone could sign. The unit of the rule is the default one.
func ParseSignRule(s string) (SignRule, error) {
	var r SignRule
	list, method, _ := strings.Cut(s, ";")
	for name := range strings.SplitSeq(list, ",") {
		r.Parts = append(r.Parts, SignPart(strings.TrimSpace(name)))
	}
	for word := range strings.FieldsSeq(method) {
		if err := r.setWord(word); err != nil {
			return SignRule{}, err
		}
	}
	if err := r.Validate(); err != nil {
		return SignRule{}, err
	}
	return r, nil
}

// setWord takes one word of a method.
func (r *SignRule) setWord(word string) error {
	var twice bool
	join, isJoin := strings.CutPrefix(word, joinPrefix)
	name, keyed := strings.CutPrefix(word, hmacPrefix)
	switch {
	case isJoin && join == "":
		return errors.New("join= needs a text to stand between the parts")
	case isJoin:
		twice, r.Join = r.Join != "", joinText(join)
	case slices.Contains([]SignHash{MD5, SHA1, SHA256, SHA512}, SignHash(name)):
		twice, r.Hash, r.HMAC = r.Hash != "", SignHash(name), keyed
	case slices.Contains([]SignEncoding{UpperHex, LowerHex, Base64}, SignEncoding(word)):
		twice, r.Encoding = r.Encoding != "", SignEncoding(word)
	default:
		return fmt.Errorf("unknown word %q of a sign method: use md5, sha1, sha256 or sha512, perhaps with hmac- before it; "+
			"upper-hex, lower-hex or base64; join=TEXT", word)
	}
	if twice {
		return fmt.Errorf("a sign method has one hash, one encoding and one join=: %q is one more", word)
	}
	return nil
}

// Text is the rule as ParseSignRule reads it. The unit is no part of it.
func (r SignRule) Text() string {
	parts := r.Parts
	if len(parts) == 0 {
		parts = DefaultSignParts()
	}
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(part))
	}
	var words []string
	switch name := string(cmp.Or(r.Hash, MD5)); {
	case r.HMAC:
		words = append(words, hmacPrefix+name)
	case name != string(MD5):
		words = append(words, name)
	}
	if r.Encoding != "" && r.Encoding != UpperHex {
		words = append(words, string(r.Encoding))
	}
	if r.Join != "" {
		words = append(words, joinPrefix+joinName(r.Join))
	}
	if len(words) > 0 {
		b.WriteString("; " + strings.Join(words, " "))
	}
	return b.String()
}

// Blanks have names, for settings lose them.
func joinText(name string) string {
	switch name {
	case "space":
		return " "
	case "newline":
		return "\n"
	}
	return name
}

func joinName(text string) string {
	switch text {
	case " ":
		return "space"
	case "\n":
		return "newline"
	}
	return text
}
