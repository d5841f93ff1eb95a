package main_test

import (
	"strings"
	"testing"
)

func TestFormerNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ args, env, says string }{
		{args: "list", env: "VOUCHERD_VAULT=redis:", says: "VOUCHERD_VAULT: this variable is called VOUCHERD_STORE now"},
		{args: "worker", env: "VOUCHERD_LANE_ROW=3", says: "VOUCHERD_LANE_ROW: this variable is called VOUCHERD_ACCOUNT_ROW now"},
		{args: "gateway", env: "VOUCHERD_LANES_FILE=x", says: "VOUCHERD_LANES_FILE: this variable is called VOUCHERD_ACCOUNTS_FILE now"},
		{args: "enqueue --order 1 x", env: "VOUCHERD_LANE=eu", says: "VOUCHERD_LANE: this variable is called VOUCHERD_ACCOUNT now"},
		{args: "list --lane eu", says: "--lane: this flag is called --account now"},
		{args: "list --lane=eu", says: "--lane: this flag is called --account now"},
		{args: "worker --vault redis:", says: "--vault: this flag is called --store now"},
		{args: "worker --lanes-file x", says: "--lanes-file: this flag is called --accounts-file now"},
		{args: "worker --lane-row 3", says: "--lane-row: this flag is called --account-row now"},
		{args: "lanes", says: "lanes: this command is called accounts now"},
		{args: "lanes --json", says: "lanes: this command is called accounts now"},
	} {
		b := newBench(t)
		b.env = append(b.env, tc.env)
		want(t, b.run(strings.Fields(tc.args)...), 2, tc.says)
	}
}

// TestFormerNamesAreReportedTogether finds all of them in one run, and lets help through.
func TestFormerNamesAreReportedTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_VAULT="+secret, "VOUCHERD_LANE=eu")
	o := b.run("lanes", "--lane", "eu")
	b.want(o, 2, "4 settings", "VOUCHERD_STORE", "VOUCHERD_ACCOUNT ", "--account ", "accounts ")
	if strings.Contains(o.stderr, secret) {
		t.Error("it printed a value")
	}
	b.want(b.run("list", "--help"), 0, "VOUCHERD_STORE")
	b.env = append(b.env, "VOUCHERD_VAULT=", "VOUCHERD_LANE=")
	b.want(b.run("list", "--account", "nobody"), 0) // an empty variable counts as unset
}

func TestAKeyNamedAsAFormerCommandIsAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.run("show", "lanes"), 3, "lanes")
	b.want(b.run("show", "--", "--lane"), 3, "--lane")
}
