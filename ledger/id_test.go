package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/ledger"
)

func TestUploadIDIsStable(t *testing.T) {
	t.Parallel()
	// Ids stand in records, tasks, file names and logs: they must never change. From a separate
	// implementation: base32(sha256(for each of account, user, order, hash: 8 bytes of length,
	// big-endian, and the text)), lower case, 26.
	got := ledger.UploadID("default", "", "1022505290408395575", hash("receipt"))
	const want = "default-fdqxszwiaxy2munzi4dw2smw3f"
	if got != want {
		t.Errorf("id %s, want %s", got, want)
	}
	if upper := ledger.UploadID("default", "", "1022505290408395575", strings.ToUpper(hash("receipt"))); upper != want {
		t.Errorf("id %s of the same hash in capitals, want %s", upper, want)
	}
}

func TestUploadIDPartsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, parts := range [][]string{{"a", "bc", "d"}, {"ab", "c", "d"}, {"a", "b", "cd"}, {"", "abc", "d"}, {"abc", "", "d"}, {"", "", "abcd"}} {
		id := ledger.UploadID("account", parts[0], parts[1], parts[2])
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q give the same id", parts, other)
		}
		seen[id] = parts
	}
}

func TestParseID(t *testing.T) {
	t.Parallel()
	const key = "abcdefghijklmnopqrstuvwxyz"
	good := map[string]string{"default-" + key: "default", "a-b-" + key: "a-b", "--" + key: "-", strings.Repeat("a", 32) + "-" + key: strings.Repeat("a", 32)}
	for id, want := range good {
		if account, k, err := ledger.ParseID(id); err != nil || account != want || k != key {
			t.Errorf("%s: account %q, key %q, %v", id, account, k, err)
		}
	}
	for _, id := range []string{
		"", "-", key, "-" + key, "default" + key, "default-" + key[1:], "default-" + key + "2", "DEFAULT-" + key, "default-" + strings.ToUpper(key),
		"default-" + key[:25] + "1", "default-" + key + "\n", "\ndefault-" + key, "account}:-" + key, strings.Repeat("a", 33) + "-" + key, strings.Repeat("é", 90),
	} {
		if account, _, err := ledger.ParseID(id); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%q: account %q, %v, want ErrNotFound", id, account, err)
		} else if len(err.Error()) > 250 {
			t.Errorf("%q: an error of %d bytes", id, len(err.Error()))
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("default-abcdefghijklmnopqrstuvwxyz")
	f.Add("a-b-22222222222222222222222222")
	f.Add("}:-\x00")
	f.Fuzz(func(t *testing.T, id string) {
		account, key, err := ledger.ParseID(id)
		if err != nil {
			if !errors.Is(err, ledger.ErrNotFound) || account != "" || key != "" {
				t.Fatalf("%q: account %q, key %q, %v", id, account, key, err)
			}
			return
		}
		if id != account+"-"+key || !ledger.ValidAccount(account) || len(key) != 26 || strings.ContainsAny(id, "{}: \n\x00") {
			t.Fatalf("%q: account %q, key %q", id, account, key)
		}
		if again := ledger.UploadID(account, id, id, hash(id)); !strings.HasPrefix(again, account+"-") {
			t.Fatalf("id %q of account %q", again, account)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	if got := ledger.Queue("default"); got != "vouchers-default" {
		t.Errorf("queue %s", got)
	}
	if got := ledger.TaskID("default-x", 12); got != "default-x.12" {
		t.Errorf("task id %s", got)
	}
	for name, want := range map[string]bool{"default": true, "a": true, "eu-1": true, "": false, "A": false, "a_b": false, "a b": false, "a\n": false} {
		if ledger.ValidAccount(name) != want {
			t.Errorf("account name %q: valid is %v", name, !want)
		}
	}
}
