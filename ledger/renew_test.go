package ledger_test

import (
	"testing"
	"time"

	"github.com/voucherd/voucherd/ledger"
)

// TestANewSecretCostsNoUploadARefusal has the secret refused, with deliveries in between and without,
// until the account has a new one.
func TestANewSecretCostsNoUploadARefusal(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	wrong := refused(ledger.FaultCredentials)
	ids := []string{b.fresh(), b.fresh(), b.fresh(), b.fresh()}
	b.attempt(ids[0], wrong)
	b.attempt(b.fresh(), delivered("r"))
	for _, id := range ids[1:] {
		b.attempt(id, wrong)
	}
	b.openFor("credentials", 10*time.Second)
	b.must(b.Renew(b.ctx, b.account))
	b.must(b.Renew(b.ctx, b.account))
	for _, id := range ids {
		if n := b.get(id).Refusals; n != 0 {
			t.Errorf("upload %s has %d refusals", id, n)
		}
	}
	b.probe(delivered("r2"))
	b.isClosed()
}

func TestANewSecretLetsALoneUploadAskAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	id := b.fresh()
	for range 3 {
		b.attempt(id, refused(ledger.FaultCredentials))
		b.later(time.Minute)
	}
	b.attempt(id, refused(ledger.FaultCredentials)) // the probe
	b.must(b.Renew(b.ctx, b.account))
	if u := b.get(id); u.Refusals != 0 || b.breaker().Wait != 0 {
		t.Fatalf("upload %+v, breaker %+v", u, b.breaker())
	}
	b.attempt(id, delivered("r"))
	b.isClosed()
}

func TestANewSecretLeavesOtherReasonsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, ledger.Settings{})
	b.attempt(b.fresh(), refused(ledger.FaultCredentials))
	b.trip(5, unavailable())
	b.must(b.Renew(b.ctx, b.account))
	b.openFor("outage", 5*time.Second)
}
