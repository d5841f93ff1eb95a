package pandapon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/voucherd/voucherd/pandapon"
)

func ExampleSignRule_Sign() {
	account := pandapon.Credentials{
		AccessKey: "58c0201dfdf148eca63cbf6bb5e7cf03", Secret: "3f1d5c9a7b2e4860917c5d3e8f0a6b42", UserID: "2100007341207",
	}
	var rule pandapon.SignRule
	fmt.Println(rule.Sign(account, "1715669977082", "0123456789abcdef0123456789abcdef"))
	fmt.Println(account.Secret)
	// Output:
	// 995B8D171DF3A420B9C791A3349A95FC
	// ***
}

func ExampleClient_Upload() {
	client, err := pandapon.NewClient(pandapon.Config{BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	const receipt = "the file's bytes"
	_, err = client.Upload(context.Background(), pandapon.Upload{
		Credentials: pandapon.Credentials{AccessKey: "key", Secret: "secret", UserID: "user"},
		Nonce:       pandapon.NewNonce(),
		OrderID:     "1022505290408395575",
		Voucher:     strings.NewReader(receipt),
		Size:        int64(len(receipt)),
	})
	if failed, ok := errors.AsType[*pandapon.Error](err); ok {
		fmt.Println(failed.Kind)
	}
	// Output: not sent
}
