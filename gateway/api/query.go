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
		State: ledger.State(v.Get("state")), OrderID: v.Get("orderId"), Search: v.Get("search"), Code: v.Get("code"), Cursor: v.Get("cursor"),
	}
	if q.State != "" && !q.State.Valid() {
		return q, problem.Invalidf("state", "is none of %s", joinStates())
	}
	if s := v.Get("since"); s != "" {
		d, err := parseSince(s)
		if err != nil || d <= 0 {
			return q, problem.Invalidf("since", "is not a length of time such as 30m, 24h or 7d")
		}
		q.Since = d
	}
	if v.Get("requestId") != "" && (q.Cursor != "" || q.Since != 0 || q.Search != "") {
		return q, problem.Invalidf("requestId", "names one call, so neither cursor, since nor search goes with it")
	}
	var err error
	q.Account, q.Limit, err = parsePage(v)
	return q, err
}

// parsePage reads what every list takes: the account, which may be empty, and the size of a page.
func parsePage(v url.Values) (account string, limit int, err error) {
	if account = v.Get("account"); account != "" && !ledger.ValidAccount(account) {
		return "", 0, problem.Invalidf("account", accountname.Rule)
	}
	s := v.Get("limit")
	if s == "" {
		return account, usualLimit, nil
	}
	if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > mostLimit {
		return "", 0, problem.Invalidf("limit", "is not a number from 1 to %d", mostLimit)
	}
	return account, limit, nil
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
