package pandapon

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // the API's signature rule is MD5
	"crypto/sha1" //nolint:gosec // a variant that the API may use
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SignPart names a value that takes part in the signature.
type SignPart string

// The values a signature can be made of.
const (
	PartAccessKey SignPart = "access-key"
	PartTimestamp SignPart = "timestamp"
	PartNonce     SignPart = "nonce-str"
	PartSecret    SignPart = "secret"
	PartUserID    SignPart = "user-id"
)

// DefaultSignParts returns the parts of the default rule, in order. The manual names the parts;
// their order is inferred from a public client of the same API family.
func DefaultSignParts() []SignPart {
	return []SignPart{PartAccessKey, PartTimestamp, PartNonce, PartSecret}
}

// SignHash names the hash function of a signature.
type SignHash string

// The hash functions. The zero value counts as MD5, whose digest has the length of the documented
// example.
const (
	MD5    SignHash = "md5"
	SHA1   SignHash = "sha1"
	SHA256 SignHash = "sha256"
	SHA512 SignHash = "sha512"
)

func (h SignHash) new() func() hash.Hash {
	switch h {
	case SHA1:
		return sha1.New
	case SHA256:
		return sha256.New
	case SHA512:
		return sha512.New
	case MD5:
	}
	return md5.New
}

// SignEncoding says how the digest is written.
type SignEncoding string

// The encodings. The zero value counts as UpperHex, which the documented example has.
const (
	UpperHex SignEncoding = "upper-hex"
	LowerHex SignEncoding = "lower-hex"
	Base64   SignEncoding = "base64" // standard alphabet, padded
)

// TimestampUnit says what the timestamp header counts since 1970.
type TimestampUnit string

// The units seen: the documented example has 13 digits, some public clients
// send 10. The zero value counts as Milliseconds.
const (
	Milliseconds TimestampUnit = "ms"
	Seconds      TimestampUnit = "s"
)

// ParseTimestampUnit reads "ms" or "s".
func ParseTimestampUnit(s string) (TimestampUnit, error) {
	switch unit := TimestampUnit(strings.TrimSpace(s)); unit {
	case Milliseconds, Seconds:
		return unit, nil
	default:
		return "", fmt.Errorf("unknown timestamp unit %q: use ms or s", s)
	}
}

// SignRule says how a signature is made. The zero value is the default rule: access key, timestamp,
// nonce and secret without anything between them, as MD5 in upper-case hex; milliseconds.
type SignRule struct {
	Parts    []SignPart
	Join     string // stands between the parts
	Hash     SignHash
	HMAC     bool // the secret is the key of an HMAC, so it need not be one of the parts
	Encoding SignEncoding
	Unit     TimestampUnit
}

// Validate reports parts, a method or a unit that no request could be signed with.
func (r SignRule) Validate() error {
	var faults []error
	if len(r.Parts) > 0 {
		faults = append(faults, r.checkParts())
	}
	switch r.Hash {
	case "", MD5, SHA1, SHA256, SHA512:
	default:
		faults = append(faults, fmt.Errorf("unknown hash %q", string(r.Hash)))
	}
	switch r.Encoding {
	case "", UpperHex, LowerHex, Base64:
	default:
		faults = append(faults, fmt.Errorf("unknown encoding %q", string(r.Encoding)))
	}
	if r.Unit != "" {
		_, err := ParseTimestampUnit(string(r.Unit))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (r SignRule) checkParts() error {
	for i, part := range r.Parts {
		switch part {
		case PartAccessKey, PartTimestamp, PartNonce, PartSecret, PartUserID:
		default:
			return fmt.Errorf("unknown sign part %q: use access-key, timestamp, nonce-str, secret or user-id", string(part))
		}
		if slices.Contains(r.Parts[:i], part) {
			return fmt.Errorf("sign part %q stands twice", string(part))
		}
	}
	if !r.HMAC && !slices.Contains(r.Parts, PartSecret) {
		return errors.New("sign parts need the secret, or an hmac hash: without it anyone could sign")
	}
	return nil
}

// Timestamp renders t for the timestamp header.
func (r SignRule) Timestamp(t time.Time) string {
	if r.Unit == Seconds {
		return strconv.FormatInt(t.Unix(), 10)
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// ParseTimestamp is the inverse of Timestamp. It takes digits only.
func (r SignRule) ParseTimestamp(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp is not a number of %s since 1970", r.unit())
	}
	if r.Unit == Seconds {
		return time.Unix(int64(n), 0), nil
	}
	return time.UnixMilli(int64(n)), nil
}

func (r SignRule) unit() TimestampUnit {
	if r.Unit == "" {
		return Milliseconds
	}
	return r.Unit
}

// Sign returns the signature header. Neither body nor query takes part. timestamp and nonce are
// signed as given, so send exactly these.
func (r SignRule) Sign(c Credentials, timestamp, nonce string) string {
	parts := r.Parts
	if len(parts) == 0 {
		parts = DefaultSignParts()
	}
	digest := r.Digester(c)(parts, timestamp, nonce)
	switch r.Encoding {
	case LowerHex:
		return hex.EncodeToString(digest)
	case Base64:
		return base64.StdEncoding.EncodeToString(digest)
	case UpperHex:
	}
	return strings.ToUpper(hex.EncodeToString(digest))
}

// Fits says whether signature is the one of this request, in constant time. Hex digits may have
// either case.
func (r SignRule) Fits(signature string, c Credentials, timestamp, nonce string) bool {
	want := r.Sign(c, timestamp, nonce)
	if r.Encoding != Base64 {
		signature, want = strings.ToUpper(signature), strings.ToUpper(want)
	}
	return subtle.ConstantTimeCompare([]byte(signature), []byte(want)) == 1
}

// Digester returns a function that makes signatures of any parts, before they are written as text.
// It is for trying many rules on one request: what it returns is valid until its next call, and it
// is not safe for concurrent use.
func (r SignRule) Digester(c Credentials) func(parts []SignPart, timestamp, nonce string) []byte {
	h := r.Hash.new()()
	if r.HMAC {
		h = hmac.New(r.Hash.new(), []byte(c.Secret.Reveal()))
	}
	joined, digest := make([]byte, 0, 128), make([]byte, 0, h.Size())
	return func(parts []SignPart, timestamp, nonce string) []byte {
		joined = joined[:0]
		for i, part := range parts {
			if i > 0 {
				joined = append(joined, r.Join...)
			}
			switch part {
			case PartAccessKey:
				joined = append(joined, c.AccessKey...)
			case PartTimestamp:
				joined = append(joined, timestamp...)
			case PartNonce:
				joined = append(joined, nonce...)
			case PartSecret:
				joined = append(joined, c.Secret.Reveal()...)
			case PartUserID:
				joined = append(joined, c.UserID...)
			}
		}
		h.Reset()
		h.Write(joined) // a hash never fails
		digest = h.Sum(digest[:0])
		return digest
	}
}
