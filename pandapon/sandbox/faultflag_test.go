package sandbox_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/pandapon/sandbox"
)

func TestParseFault(t *testing.T) {
	t.Parallel()
	cases := map[string]sandbox.Fault{
		"outage": {Kind: sandbox.Outage},
		"outage,for=10s,probability=0.3": {
			Kind: sandbox.Outage, For: sandbox.Duration(10 * time.Second), Probability: 0.3,
		},
		"throttle, retry-after=5, times=2": {Kind: sandbox.Throttle, RetryAfter: "5", Times: 2},
		"refuse,code=40001,msg=not your order,order-id=1,user-id=2": {
			Kind: sandbox.Refuse, Code: 40001, Msg: "not your order", OrderID: "1", UserID: "2",
		},
		"status,status=418,delay=1m30s": {Kind: sandbox.Status, Status: 418, Delay: sandbox.Duration(90 * time.Second)},
		"reset,before":                  {Kind: sandbox.Reset, Before: true},
		"hang,before=true":              {Kind: sandbox.Hang, Before: true},
		"cut-off,before=false":          {Kind: sandbox.CutOff},
		"slow,msg=a=b":                  {Kind: sandbox.Slow, Msg: "a=b"},
		"not-json":                      {Kind: sandbox.NotJSON},
		"unauthorized":                  {Kind: sandbox.Unauthorized},
		"gone":                          {Kind: sandbox.Gone},
	}
	for text, want := range cases {
		got, err := sandbox.ParseFault(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestParseFaultRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"":                          `fault kind "" is unknown: use outage, hang`,
		"flood":                     `fault kind "flood" is unknown`,
		"outage,":                   "needs a value",
		"outage,for":                "for: needs a value",
		"outage,for=soon":           "for: time: invalid duration",
		"outage,for=-1s":            "for is negative",
		"outage,delay=-1s":          "delay is negative",
		"outage,times=-1":           "times is negative",
		"outage,times=many":         "times: strconv.Atoi",
		"outage,probability=1.1":    "probability is not between 0 and 1",
		"outage,probability=NaN":    "probability is not between 0 and 1",
		"outage,status=199":         "status is not between 200 and 599",
		"outage,status=600":         "status is not between 200 and 599",
		"status":                    "status is missing",
		"refuse,code=200":           "code 200 is no refusal",
		"reset,before=perhaps":      "before: strconv.ParseBool",
		"outage,retryAfter=3":       "retryAfter: no such setting",
		"outage,times=-1,delay=-1s": "fault outage: delay is negative\nfault outage: times is negative",
	}
	for text, want := range cases {
		if got, err := sandbox.ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", text, got, err, want)
		}
	}
}

// What a flag gives is valid and survives the JSON form.
func FuzzParseFault(f *testing.F) {
	f.Add("outage,for=10s,probability=0.3,times=3,code=5,status=500,msg=x,retry-after=1,delay=1s,order-id=1,user-id=2,before")
	f.Add("status,status=204")
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := sandbox.ParseFault(text)
		if err != nil {
			return
		}
		if err = fault.Validate(); err != nil {
			t.Fatalf("%q gave what is not valid: %v", text, err)
		}
		form, err := json.Marshal(fault)
		if err != nil {
			t.Fatal(err)
		}
		var again sandbox.Fault
		if err = json.Unmarshal(form, &again); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		fault.Msg, again.Msg = "", "" // JSON replaces what is not UTF-8
		fault.RetryAfter, again.RetryAfter = "", ""
		fault.OrderID, again.OrderID = "", ""
		fault.UserID, again.UserID = "", ""
		if again != fault || math.Signbit(again.Probability) != math.Signbit(fault.Probability) {
			t.Fatalf("%q became %+v, then %+v", text, fault, again)
		}
	})
}
