// Package learn finds the rule by which a request was signed, from the request and the secret.
//
// PandaPon documents which headers take part in the signature, and not how. A request that is known
// to work tells: every rule that a setting can name is tried.
package learn

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/voucherd/voucherd/pandapon"
)

// Request is what of a request can take part in its signature, as it was sent, and the signature.
type Request struct {
	Path      string // of the URL; "" if unknown
	AccessKey string
	Timestamp string
	Nonce     string
	UserID    string
	Signature string
}

// ErrRequest means that a request cannot tell a rule, whatever the secret: a header is missing, or
// cannot be what a rule makes. What wraps it says which.
var ErrRequest = errors.New("the request cannot be learnt from")

// NoRuleError means that no rule gives the request's signature. Most likely the secret is not that
// of its access key.
type NoRuleError struct {
	Tried    int // rules
	Hash     pandapon.SignHash
	Encoding pandapon.SignEncoding
	Parts    []pandapon.SignPart // those that the request has
}

func (e *NoRuleError) Error() string {
	names := make([]string, len(e.Parts))
	for i, p := range e.Parts {
		names[i] = string(p)
	}
	return fmt.Sprintf("no rule gives this signature: tried were %d, of every order and choice of %s, with %s between them, by %[4]s and hmac-%[4]s in %s",
		e.Tried, strings.Join(names, ", "), joinsText(), e.Hash, e.Encoding)
}

func joinsText() string {
	quoted := make([]string, 0, len(joins()))
	for _, j := range joins()[1:] {
		quoted = append(quoted, strconv.Quote(j))
	}
	return "nothing or one of " + strings.Join(quoted, " ")
}

// joins are what is tried between the parts; first nothing.
func joins() []string {
	return []string{"", "&", ",", ":", "|", "-", "_", ".", ";", "+", " ", "\n"}
}

// Find gives the rule that signed r with secret. The error is a *NoRuleError, or wraps ErrRequest.
//
// A header that r does not have is no part of the rule, unless the default rule fits: a request
// without a nonce cannot tell where one would stand.
func Find(r Request, secret pandapon.Secret) (pandapon.SignRule, error) {
	s, err := newSearch(r, secret)
	if err != nil {
		return pandapon.SignRule{}, err
	}
	tried := 0
	for rule, digest := range s.rules() {
		tried++
		if bytes.Equal(digest, s.digest) {
			rule.Parts = slices.Clone(rule.Parts)
			return rule, nil
		}
	}
	return pandapon.SignRule{}, &NoRuleError{Tried: tried, Hash: s.hash, Encoding: s.encoding, Parts: s.parts}
}

// search is the search for the rule of one request.
type search struct {
	Request

	credentials pandapon.Credentials
	parts       []pandapon.SignPart // those that have a value
	unit        pandapon.TimestampUnit
	digest      []byte // of the signature
	hash        pandapon.SignHash
	encoding    pandapon.SignEncoding
}

func newSearch(r Request, secret pandapon.Secret) (*search, error) {
	s := &search{Request: r, credentials: pandapon.Credentials{AccessKey: r.AccessKey, Secret: secret, UserID: r.UserID}}
	for _, p := range []struct {
		name  pandapon.SignPart
		value string
		must  bool
	}{
		{pandapon.PartAccessKey, r.AccessKey, true},
		{pandapon.PartTimestamp, r.Timestamp, true},
		{pandapon.PartNonce, r.Nonce, false},
		{pandapon.PartSecret, secret.Reveal(), true},
		{pandapon.PartUserID, r.UserID, false},
	} {
		switch {
		case p.value != "":
			s.parts = append(s.parts, p.name)
		case p.must:
			return nil, fmt.Errorf("%w: it needs the %s", ErrRequest, p.name)
		}
	}
	s.unit = unitOf(r.Timestamp)
	if s.unit == "" {
		return nil, fmt.Errorf("%w: its timestamp must be a number of milliseconds or seconds since 1970", ErrRequest)
	}
	if !s.readSignature() {
		return nil, fmt.Errorf("%w: its signature must be the hex digits or the base64 of an MD5, SHA-1, SHA-256 or SHA-512 (it has %d characters)",
			ErrRequest, len(r.Signature))
	}
	return s, nil
}

// secondsDigits is up to how many digits a timestamp counts seconds: for the next 3000 years, and
// milliseconds have had more since 1973.
const secondsDigits = 11

// unitOf tells the unit of a timestamp by its size; "" if it is none.
func unitOf(timestamp string) pandapon.TimestampUnit {
	unit := pandapon.Milliseconds
	if len(timestamp) <= secondsDigits {
		unit = pandapon.Seconds
	}
	if _, err := (pandapon.SignRule{Unit: unit}).ParseTimestamp(timestamp); err != nil {
		return ""
	}
	return unit
}

// readSignature tells hash and encoding by the signature's form: no two of them have the same.
func (s *search) readSignature() bool {
	text := s.Signature
	var err error
	switch s.digest, err = hex.DecodeString(text); {
	case err == nil && text == strings.ToUpper(text):
		s.encoding = pandapon.UpperHex
	case err == nil && text == strings.ToLower(text):
		s.encoding = pandapon.LowerHex
	default:
		s.encoding = pandapon.Base64
		if s.digest, err = base64.StdEncoding.DecodeString(text); err != nil {
			return false
		}
	}
	switch len(s.digest) { // of these hashes' digests, in bytes
	case 16:
		s.hash = pandapon.MD5
	case 20:
		s.hash = pandapon.SHA1
	case 32:
		s.hash = pandapon.SHA256
	case 64:
		s.hash = pandapon.SHA512
	}
	return s.hash != ""
}

// rules gives every rule that could have made the signature, likely ones first, and the digest that
// it makes. Both are valid until the next ones.
func (s *search) rules() iter.Seq2[pandapon.SignRule, []byte] {
	return func(yield func(pandapon.SignRule, []byte) bool) {
		rule := pandapon.SignRule{Parts: pandapon.DefaultSignParts(), Hash: s.hash, Encoding: s.encoding, Unit: s.unit}
		digest := rule.Digester(s.credentials)
		if !yield(rule, digest(rule.Parts, s.Timestamp, s.Nonce)) {
			return
		}
		for _, rule.Join = range joins() {
			for _, rule.HMAC = range []bool{false, true} {
				digest = rule.Digester(s.credentials)
				for rule.Parts = range orders(s.parts) {
					between := rule.Join == "" || len(rule.Parts) > 1 // else it is tried already
					keyed := rule.HMAC || slices.Contains(rule.Parts, pandapon.PartSecret)
					if between && keyed && !yield(rule, digest(rule.Parts, s.Timestamp, s.Nonce)) {
						return
					}
				}
			}
		}
	}
}

// orders gives every order of every choice of parts. What it gives is valid until the next one.
func orders(parts []pandapon.SignPart) iter.Seq[[]pandapon.SignPart] {
	return func(yield func([]pandapon.SignPart) bool) {
		chosen := make([]pandapon.SignPart, 0, len(parts))
		var grow func() bool
		grow = func() bool {
			for _, p := range parts {
				if slices.Contains(chosen, p) {
					continue
				}
				chosen = append(chosen, p)
				if !yield(chosen) || !grow() {
					return false
				}
				chosen = chosen[:len(chosen)-1]
			}
			return true
		}
		grow()
	}
}
