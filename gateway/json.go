package gateway

import (
	"encoding/json"
	"io"
)

// readJSON takes a JSON object whose base64 is the voucher, with its fields in any order.
func readJSON(from io.Reader, h *handover) error {
	o, err := openObject(from)
	if err != nil {
		return err
	}
	for {
		name, ok, err := o.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := readMember(o, name, h); err != nil {
			return err
		}
	}
	if !h.has("base64") {
		return invalidf("base64", "is missing: it is the voucher, as standard base64")
	}
	return nil
}

func readMember(o *objectReader, name string, h *handover) error {
	if name == "base64" {
		if err := h.first(name); err != nil {
			return err
		}
		return o.base64(&h.voucher)
	}
	raw, err := o.value()
	if err != nil {
		return err
	}
	value, err := memberText(name, raw)
	if err != nil {
		return err
	}
	return h.set(name, value)
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
		return "", invalidf(name, "is neither true nor false")
	case raw[0] == '"':
		return unquote(raw)
	case name == "orderId" && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		return "", invalidf(name, "is a number: send it as a string, in quotes, for a JSON number of 19 digits loses some of them")
	default:
		return "", invalidf(clip(name, 40), "is not a string")
	}
}
