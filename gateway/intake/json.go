package intake

import (
	"encoding/json"
	"io"

	"github.com/voucherd/voucherd/gateway/problem"
)

// readJSON takes a JSON object whose base64 is the voucher, with its fields in any order. There may
// be no others.
func readJSON(from io.Reader, u *uploadRequest) error {
	if err := readObject(from, u, func(string) bool { return true }); err != nil {
		return err
	}
	if !u.has("base64") {
		return problem.Invalidf("base64", "is missing: it is the voucher, as standard base64")
	}
	return nil
}

// readCallJSON reads the body of PandaPon's upload call. Members that its page does not name are
// passed over.
func readCallJSON(from io.Reader, u *uploadRequest) error {
	if err := readObject(from, u, func(name string) bool { return name == "base64" || name == "orderId" }); err != nil {
		return err
	}
	if !u.has("base64") {
		return problem.Invalidf("base64", "is missing")
	}
	return nil
}

// readObject takes the members of a JSON object that are wanted.
func readObject(from io.Reader, u *uploadRequest, wanted func(name string) bool) error {
	o, err := openObject(from)
	if err != nil {
		return err
	}
	for {
		name, ok, err := o.next()
		if err != nil || !ok {
			return err
		}
		if wanted(name) {
			err = readMember(o, name, u)
		} else {
			_, err = o.value()
		}
		if err != nil {
			return err
		}
	}
}

func readMember(o *jsonReader, name string, u *uploadRequest) error {
	if name == "base64" {
		if err := u.first(name); err != nil {
			return err
		}
		return o.base64(&u.voucher)
	}
	raw, err := o.value()
	if err != nil {
		return err
	}
	value, err := memberText(name, raw)
	if err != nil {
		return err
	}
	return u.set(name, value)
}

// memberText gives a member's value as the text that set takes.
func memberText(name string, raw json.RawMessage) (string, error) {
	flag := name == "again" || name == "replace"
	switch {
	case string(raw) == "null":
		return "", nil
	case flag && (string(raw) == "true" || string(raw) == "false"):
		return string(raw), nil
	case flag:
		return "", problem.Invalidf(name, "is neither true nor false")
	case raw[0] == '"':
		return unquote(raw)
	case name == "orderId" && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		return "", problem.Invalidf(name, "is a number: send it as a string, in quotes, for a JSON number of 19 digits loses some of them")
	default:
		return "", problem.Invalidf(name, "is not a string")
	}
}
