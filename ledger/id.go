package ledger

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	"github.com/voucherd/voucherd/internal/accountname"
)

// keyLength is the length of an id's part behind the account: 26 base32 characters hold 130 bits of
// the SHA-256.
const keyLength = 26

var keyText = regexp.MustCompile(`^[a-z2-7]{26}$`)

// UploadID gives the id of the upload of one voucher for one order: `<account>-<26 characters>`.
// The same account, user, order and voucher always give the same id. The hash is the voucher's
// SHA-256 in hex.
func UploadID(account, userID, orderID, hash string) string {
	h := sha256.New()
	for _, part := range []string{account, userID, orderID, strings.ToLower(hash)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return account + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil))[:keyLength])
}

// ParseID splits an upload id into its account and the key below which the account keeps it. The
// error wraps ErrNotFound: what is no id names no upload.
func ParseID(id string) (account, key string, err error) {
	cut := len(id) - keyLength - 1
	if cut < 1 || id[cut] != '-' || !ValidAccount(id[:cut]) || !keyText.MatchString(id[cut+1:]) {
		return "", "", fmt.Errorf("%q is no upload id: %w", clip(id, 80), ErrNotFound)
	}
	return id[:cut], id[cut+1:], nil
}

// ValidAccount says whether an account may have this name: 1 to 32 characters of a-z, 0-9 and the
// hyphen.
func ValidAccount(name string) bool { return accountname.Valid(name) }

// Queue gives the asynq queue of an account.
func Queue(account string) string { return "vouchers-" + account }

// TaskID gives the asynq task id of an upload's generation.
func TaskID(id string, generation int64) string { return fmt.Sprintf("%s.%d", id, generation) }

// prefix is what every key of an account begins with. Its hash tag is that of asynq's own keys of
// the account's queue.
func prefix(account string) string { return "voucherd:{" + Queue(account) + "}:" }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
