package blob_test

import (
	"context"
	"fmt"
	"os"

	"github.com/voucherd/voucherd/blob"
)

// helperEnv makes this test binary a process that puts standard input into the directory that it
// names, to be killed meanwhile.
const helperEnv = "STORE_TEST_HELPER"

func helper() int {
	d, err := blob.OpenDir(context.Background(), os.Getenv(helperEnv))
	if err == nil {
		_, err = d.Put(context.Background(), blob.Meta{Account: "default"}, os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
