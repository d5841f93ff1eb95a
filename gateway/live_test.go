package gateway_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway/dropin"
	"github.com/voucherd/voucherd/pandapon"
)

func TestAccountsChangeWhileItServes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const reset = "a-new-5ec2e7" // #nosec G101 -- a test's own
	bySecret := func(s pandapon.Secret) http.Header {
		return b.signedBy("access-key,timestamp,nonce-str,secret", pandapon.Milliseconds, s, time.Now())
	}
	b.do(b.drop("1", png("x", 10), bySecret(secret))).want(http.StatusOK)
	accounts := slices.Clone(b.cfg.Accounts)
	accounts[0].Credentials.Secret = reset
	second := accounts[0]
	second.Name = "2nd" + b.account[3:]
	second.Credentials.AccessKey = "another"
	b.must(b.gateway.SetAccounts(append(accounts, second)))
	b.do(b.drop("2", png("x", 10), bySecret(secret))).want(http.StatusUnauthorized)
	b.do(b.drop("2", png("x", 10), bySecret(reset))).want(http.StatusOK)
	b.send(b.producer, "/v1/uploads?orderId=3&account="+second.Name, "image/png", png("x", 10)).want(http.StatusAccepted)
	second.UploadPath = "/v1/uploads"
	if err := b.gateway.SetAccounts([]dropin.Account{second}); err == nil {
		t.Error("it took an account with one of its own paths")
	}
	b.do(b.drop("4", png("x", 10), bySecret(reset))).want(http.StatusOK)
}
