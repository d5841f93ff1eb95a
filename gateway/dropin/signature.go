package dropin

import (
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/pandapon"
)

// signatureWindow is how far off a timestamp may be, as PandaPon's manual has it.
const signatureWindow = 600 * time.Second

// verify gives the account whose secret signed a call. A nonce may be missing or repeated: the
// endpoint's page calls it optional, and enqueueing a voucher twice does no harm.
func (d *DropIn) verify(r *http.Request) (*account, *problem.Error) {
	value := map[string]string{}
	for _, name := range []string{
		pandapon.HeaderAccessKey, pandapon.HeaderTimestamp, pandapon.HeaderNonce, pandapon.HeaderUserID, pandapon.HeaderSignature,
	} {
		all := r.Header.Values(name)
		if len(all) > 1 { // the API might read another one than was checked here
			return nil, &problem.Error{Kind: problem.Signature, Detail: "the header " + name + " stands more than once"}
		}
		if len(all) == 1 {
			value[name] = all[0]
		}
	}
	for _, name := range []string{pandapon.HeaderAccessKey, pandapon.HeaderTimestamp, pandapon.HeaderSignature} {
		if value[name] == "" {
			return nil, &problem.Error{Kind: problem.Signature, Detail: "the header " + name + " is missing"}
		}
	}
	from := d.signer(value)
	if from == nil {
		return nil, &problem.Error{Kind: problem.Signature, Detail: "access-key or signature is not that of an account"}
	}
	at, err := d.cfg.Rule.ParseTimestamp(value[pandapon.HeaderTimestamp])
	if err != nil {
		return nil, &problem.Error{Kind: problem.Timestamp, Detail: err.Error()}
	}
	if off := d.cfg.Now().Sub(at).Abs(); off > signatureWindow {
		return nil, &problem.Error{Kind: problem.Timestamp, Detail: "the timestamp is more than 600 seconds off, or in another unit than " + d.unit()}
	}
	return from, nil
}

func (d *DropIn) unit() string {
	if d.cfg.Rule.Unit == pandapon.Seconds {
		return "seconds"
	}
	return "milliseconds"
}

// signer finds the account with this access key and a secret that gives this signature. Accounts
// may share an access key; then the one of this sub-account counts, or else the first. Every
// account's signature is worked out, so that the time taken does not tell which access keys there
// are.
func (d *DropIn) signer(value map[string]string) *account {
	var found *account
	for _, a := range *d.accounts.Load() {
		user := a.Credentials.UserID
		c := a.Credentials
		c.UserID = value[pandapon.HeaderUserID]
		c.AccessKey = value[pandapon.HeaderAccessKey]
		signed := d.cfg.Rule.Fits(value[pandapon.HeaderSignature], c, value[pandapon.HeaderTimestamp], value[pandapon.HeaderNonce])
		known := subtle.ConstantTimeCompare([]byte(c.AccessKey), []byte(a.Credentials.AccessKey)) == 1
		if signed && known && (found == nil || user == c.UserID && found.Credentials.UserID != c.UserID) {
			found = a
		}
	}
	return found
}
