package sandbox_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// A backend's integration test: the API has an outage, then takes the voucher.
func Example() {
	account := pandapon.Credentials{AccessKey: "key", Secret: "secret", UserID: "1"}
	api := sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{account}})
	server := httptest.NewServer(api)
	defer server.Close()
	defer api.Close()

	client, err := pandapon.NewClient(pandapon.Config{BaseURL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	api.SetFaults(sandbox.Fault{Kind: sandbox.Outage, Times: 1})
	for range 2 {
		receipt, err := client.Upload(ctx, pandapon.Upload{
			Credentials: account,
			Nonce:       pandapon.NewNonce(),
			OrderID:     "1022505290408395575",
			Voucher:     strings.NewReader("a receipt"),
			Size:        int64(len("a receipt")),
		})
		fmt.Println("delivered:", err == nil && receipt.Code == "200")
	}
	for _, r := range api.Requests() {
		fmt.Println(r.Number, r.OrderID, r.Size, r.HTTPStatus, r.Fault)
	}
	// Output:
	// delivered: false
	// delivered: true
	// 1 1022505290408395575 9 503 outage
	// 2 1022505290408395575 9 200
}
