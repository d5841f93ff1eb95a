package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Secret signs webhooks. It prints as ***.
type Secret struct{ key []byte }

// String hides it.
func (Secret) String() string { return "***" }

// GoString hides it.
func (Secret) GoString() string { return "***" }

const (
	secretPrefix = "whsec_"
	mostSecrets  = 5 // of one receiver, while they rotate
)

// ParseSecrets reads secrets, one a line, each as the Standard Webhooks specification writes it:
// whsec_ and 24 to 64 bytes in base64. Each signs: with the new secret beside the old one, receivers
// can be changed in their own time.
func ParseSecrets(text string) ([]Secret, error) {
	var all []Secret
	for row := range strings.Lines(text) {
		row = strings.TrimSpace(row)
		if row == "" {
			continue
		}
		encoded, ok := strings.CutPrefix(row, secretPrefix)
		if !ok {
			return nil, errors.New("each line must be a secret that begins with whsec_")
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) < 24 || len(key) > 64 {
			return nil, errors.New("behind whsec_ there must be 24 to 64 bytes in base64")
		}
		all = append(all, Secret{key})
	}
	if len(all) == 0 || len(all) > mostSecrets {
		return nil, fmt.Errorf("there must be 1 to %d secrets, one a line", mostSecrets)
	}
	return all, nil
}

// signature is the header webhook-signature: one signature by each secret, the first one's first.
func signature(secrets []Secret, id string, at time.Time, body []byte) string {
	var all []string
	for _, s := range secrets {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}
