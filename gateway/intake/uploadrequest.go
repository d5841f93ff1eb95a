package intake

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/voucherd/voucherd/gateway/problem"
)

// uploadRequest is what a request to take a voucher says, in whichever form it came.
type uploadRequest struct {
	orderID, userID, account, reference, reason string

	again, replace bool
	given          []string // fields that were there
	voucher        spool
}

// uploadFields are the fields beside the voucher.
func uploadFields() []string {
	return []string{"orderId", "userId", "account", "reference", "again", "replace", "reason"}
}

// maxField is more than any field may have.
const maxField = 4 << 10

// first notes that a field is there, and refuses to see it twice.
func (u *uploadRequest) first(field string) error {
	if slices.Contains(u.given, field) {
		return problem.Invalidf(field, "stands more than once")
	}
	u.given = append(u.given, field)
	return nil
}

func (u *uploadRequest) has(field string) bool { return slices.Contains(u.given, field) }

// set takes a field as text.
func (u *uploadRequest) set(field, value string) error {
	if !slices.Contains(uploadFields(), field) {
		return problem.Invalidf(strings.ToValidUTF8(field, "?"), "is not a field here; there are voucher, %s", strings.Join(uploadFields(), ", "))
	}
	if err := u.first(field); err != nil {
		return err
	}
	switch field {
	case "orderId":
		u.orderID = value
	case "userId":
		u.userID = value
	case "account":
		u.account = value
	case "reference":
		u.reference = value
	case "reason":
		u.reason = value
	case "again":
		return setBool(&u.again, field, value)
	case "replace":
		return setBool(&u.replace, field, value)
	}
	return nil
}

func setBool(to *bool, field, value string) error {
	switch value {
	case "true", "1":
		*to = true
	case "false", "0", "":
	default:
		return problem.Invalidf(field, "is neither true nor false")
	}
	return nil
}

// fromQuery takes the fields that stand in the query.
func (u *uploadRequest) fromQuery(r *http.Request) error {
	values, err := ParseQuery(r, uploadFields()...)
	if err != nil {
		return err
	}
	for name := range values {
		if err := u.set(name, values.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

// ParseQuery gives a request's query, of which every parameter must be known and stand once: a
// misspelt one would change nothing.
func ParseQuery(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Field, Field: "query", Detail: "query: cannot be read"}
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, problem.Invalidf(name, "is not a parameter here; there are %s", strings.Join(known, ", "))
		case len(all) > 1:
			return nil, problem.Invalidf(name, "stands more than once")
		}
	}
	return values, nil
}
