package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/voucherd/voucherd/test/redistest"
)

func TestRotate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := redistest.Start(t, redistest.Options{})
	b.env = append(b.env, "VOUCHERD_REDIS_URL=redis://"+server.Addr)
	identity := func(name string) (recipient, file string) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(t.TempDir(), name)
		if err = os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return id.Recipient().String(), file
	}
	former, formerFile := identity("former")
	today, file := identity("today")
	order, picture := b.picture(1)
	b.must(0, "enqueue", "--order", order, "--encrypt-to", former, picture)
	b.want(b.run("rotate"), 1, "VOUCHERD_ENCRYPT_TO")
	b.want(b.run("rotate", "--encrypt-to", today, "--identity-file", formerFile), 1, "VOUCHERD_IDENTITY_FILE")
	b.want(b.run("rotate", "--encrypt-to", today, "--identity-file", file), 1, "0 vouchers encrypted anew", "1 vouchers open with no identity here")
	both, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(formerFile)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(formerFile, append(both, other...), 0o600); err != nil { //nolint:gosec // a path of the test itself
		t.Fatal(err)
	}
	b.want(b.run("rotate", "--encrypt-to", today, "--identity-file", formerFile), 0, "1 vouchers encrypted anew, 0 were encrypted so already")
	b.want(b.run("rotate", "--encrypt-to", today, "--identity-file", file), 0, "0 vouchers encrypted anew, 1 were encrypted so already")
	b.worker("--identity-file", file)
	eventually(t, "it is delivered", func() bool {
		return len(lines(b.must(0, "list", "--state", "delivered", "--json").stdout)) == 1
	})
}
