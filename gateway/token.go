package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Role says what the holder of a token may do.
type Role string

// The roles.
const (
	Producer Role = "producer" // enqueues vouchers and reads records
	Operator Role = "operator" // may also read vouchers, retry and discard
)

// ParseRole reads "producer" or "operator".
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case Producer, Operator:
		return r, nil
	default:
		return "", fmt.Errorf("%.40q is neither producer nor operator", s)
	}
}

// Identity is who a token belongs to.
type Identity struct {
	Name string // of the token
	Role Role
}

// Operator says whether the identity may do all there is to do.
func (i Identity) Operator() bool { return i.Role == Operator }

// Token is what the gateway stores of a token: whose it is, and its SHA-256. The token itself has
// 256 random bits, so that nothing slower is needed to keep it from being found.
type Token struct {
	Identity

	hash [sha256.Size]byte
}

// tokenPrefix makes a token known for what it is to people and to scanners for leaked secrets.
const tokenPrefix = "voucherd_"

// tokenText is every token there can be. A secret that somebody thought up is none: it could be
// guessed.
func tokenText(s string) bool {
	rest, ok := strings.CutPrefix(s, tokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	return ok && err == nil && len(b) == sha256.Size
}

// NewToken makes a token: the secret to hand out, which is kept nowhere, and what to store.
func NewToken(role Role, name string) (secret string, stored Token, err error) {
	if _, err := ParseRole(string(role)); err != nil {
		return "", Token{}, err
	}
	if !tokenName.MatchString(name) {
		return "", Token{}, errTokenName
	}
	var random [sha256.Size]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", Token{}, fmt.Errorf("make a token: %w", err)
	}
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	return secret, Token{Identity: Identity{Name: name, Role: role}, hash: sha256.Sum256([]byte(secret))}, nil
}

var (
	tokenName    = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_.-]{0,63}$`)
	errTokenName = errors.New("a token's name must have 1 to 64 characters of 0-9, A-Z, a-z, '_', '.' and '-', and begin with a digit or letter")
)

// String is the line to store: role:name:sha256.
func (t Token) String() string {
	return string(t.Role) + ":" + t.Name + ":" + hex.EncodeToString(t.hash[:])
}

// ParseTokens reads stored tokens, separated by blanks, commas or line ends. The rest of a line
// after a # is a remark. The error names every entry that cannot be read, by its number and without
// its text.
func ParseTokens(text string) ([]Token, error) {
	var all []Token
	var faults []error
	n := 0
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for entry := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }) {
			n++
			t, err := parseToken(entry)
			if err != nil {
				faults = append(faults, fmt.Errorf("entry %d: %w", n, err))
				continue
			}
			all = append(all, t)
		}
	}
	return all, errors.Join(faults...)
}

func parseToken(s string) (Token, error) {
	f := strings.Split(s, ":")
	if strings.HasPrefix(s, tokenPrefix) {
		return Token{}, errors.New("is a token itself: store the line that `voucherd token new` printed beside it")
	}
	if len(f) != 3 {
		return Token{}, errors.New("is not written role:name:sha256, as `voucherd token new` prints it")
	}
	role, err := ParseRole(f[0])
	if err != nil {
		return Token{}, errors.New("the role is neither producer nor operator")
	}
	if !tokenName.MatchString(f[1]) {
		return Token{}, errTokenName
	}
	t := Token{Identity: Identity{Name: f[1], Role: role}}
	sum, err := hex.DecodeString(f[2])
	if err != nil || len(sum) != len(t.hash) {
		return Token{}, errors.New("the last part is not a SHA-256 of 64 hex digits")
	}
	copy(t.hash[:], sum)
	return t, nil
}
