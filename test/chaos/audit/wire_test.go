package audit_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// TestTheNetworkIsAWitness lets what the network carried disagree with the ledger or the API's log.
func TestTheNetworkIsAWitness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(*audit.Facts)
		want  string // part of the name of a check that must be broken; "": none is
	}{
		{"all agree", func(*audit.Facts) {}, ""},
		{"a request that the network lost, without an attempt", func(f *audit.Facts) {
			f.Wire = append(f.Wire, audit.Passed{Nonce: "other"})
		}, "even if the network lost it"},
		{"a request that went another way", func(f *audit.Facts) { f.Wire = f.Wire[1:] }, "and nothing else"},
		{"a request that arrived whole, and was not sent so", func(f *audit.Facts) { f.Wire[2].Whole = false }, "and nothing else"},
		{"an answer that came back and is not recorded", func(f *audit.Facts) {
			f.Wire[0].RequestID, f.Wire[0].Answered = "r1", at(-200)
		}, "came back whole"},
		{"delivered without an answer", func(f *audit.Facts) { f.Wire[2].RequestID = "" }, "came back whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := agreeing()
			f.Wire = []audit.Passed{
				{Nonce: "n1", Whole: true},
				{Nonce: "n2", Whole: true, RequestID: "r2", Answered: at(45)},
				{Nonce: "n3", Whole: true, RequestID: "r3", Answered: at(75)},
			}
			c.spoil(&f)
			b := broken(audit.Run(f))
			if c.want == "" && len(b) > 0 || c.want != "" && !slices.ContainsFunc(b, func(name string) bool { return strings.Contains(name, c.want) }) {
				t.Errorf("broken: %q, want %q", b, c.want)
			}
		})
	}
}
