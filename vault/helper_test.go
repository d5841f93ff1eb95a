package vault_test

import (
	"context"
	"fmt"
	"os"

	"github.com/voucherd/voucherd/vault"
)

// helperEnv makes this test binary a process that puts standard input into the
// directory that it names, to be killed meanwhile.
const helperEnv = "VAULT_TEST_HELPER"

func helper() int {
	d, err := vault.OpenDir(context.Background(), os.Getenv(helperEnv))
	if err == nil {
		_, err = d.Put(context.Background(), vault.Meta{Lane: "default"}, os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
