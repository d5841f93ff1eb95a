package blob_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/voucherd/voucherd/blob"
)

// helperEnv makes this test binary a process that works on the directory that it names, to be killed
// meanwhile: it puts standard input, or with livesEnv, it lets vouchers live their lives.
const (
	helperEnv = "STORE_TEST_HELPER"
	livesEnv  = "STORE_TEST_LIVES"
)

func helper() int {
	d, err := blob.OpenDir(context.Background(), os.Getenv(helperEnv))
	if err == nil && os.Getenv(livesEnv) != "" {
		err = lives(d)
	} else if err == nil {
		_, err = d.Put(context.Background(), blob.Meta{Account: "default"}, os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// lives tells of each voucher when it is claimed, is about to be retired, and is retired.
func lives(d *blob.Dir) error {
	const atOnce, most = 4, 1000
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for n := 0; n < most && errs[i] == nil; n++ {
				errs[i] = life(d, voucher(i*1000+n*100), n%3 != 0)
			}
		})
	}
	wg.Wait()
	return errs[0]
}

func life(d *blob.Dir, bytesOf []byte, retire bool) error {
	ctx := context.Background()
	e, err := d.Put(ctx, blob.Meta{Account: "default"}, bytes.NewReader(bytesOf))
	if err != nil {
		return err
	}
	if err = d.Claim(ctx, e.Key); err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, "claimed", e.Key, e.Size, e.CRC32C)
	if err != nil || !retire {
		return err
	}
	if _, err = fmt.Fprintln(os.Stdout, "retiring", e.Key); err != nil {
		return err
	}
	if err = d.Retire(ctx, blob.Retired{Key: e.Key}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, "retired", e.Key)
	return err
}
