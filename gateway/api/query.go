package api

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/voucherd/voucherd/gateway/problem"
	"github.com/voucherd/voucherd/internal/accountname"
	"github.com/voucherd/voucherd/ledger"
)

const (
	usualLimit = 100
	mostLimit  = 1000
)

func parseQuery(v url.Values) (ledger.Query, error) {
	q := ledger.Query{
		Account: v.Get("account"), State: ledger.State(v.Get("state")), OrderID: v.Get("orderId"), Code: v.Get("code"),
		Cursor: v.Get("cursor"), Limit: usualLimit,
	}
	if q.State != "" && !q.State.Valid() {
		return q, problem.Invalidf("state", "is none of %s", joinStates())
	}
	if q.Account != "" && !ledger.ValidAccount(q.Account) {
		return q, problem.Invalidf("account", accountname.Rule)
	}
	if s := v.Get("limit"); s != "" {
		n, err := parseLimit(s)
		if err != nil {
			return q, err
		}
		q.Limit = n
	}
	if s := v.Get("since"); s != "" {
		d, err := parseSince(s)
		if err != nil || d <= 0 {
			return q, problem.Invalidf("since", "is not a length of time such as 30m, 24h or 7d")
		}
		q.Since = d
	}
	if v.Get("requestId") != "" && (q.Cursor != "" || q.Since != 0) {
		return q, problem.Invalidf("requestId", "names one call, so neither cursor nor since goes with it")
	}
	return q, nil
}

func parseLimit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > mostLimit {
		return 0, problem.Invalidf("limit", "is not a number from 1 to %d", mostLimit)
	}
	return n, nil
}

func joinStates() string {
	var names []string
	for _, s := range ledger.States() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// parseSince reads what time.ParseDuration reads, and whole days.
func parseSince(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	return time.ParseDuration(s) // replaced by a sentence
}
