package main_test

import (
	"strings"
	"testing"
)

func TestIncident(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.run("incident"), 0, "No upload failed")
	b.worker()
	orders := b.rejected(2)
	u := upload(t, b.must(0, "show", "--json", orders[0]).stdout)
	b.want(b.run("incident"), 0, "Affected uploads: 2 (now: 2 rejected)", orders[0], orders[1], u.RequestID, "code 4242", "not now")
	b.want(b.run("incident", "--lang", "zh", "--since", "1d"), 0, "受影响的上传：2", u.RequestID)
	b.want(b.run("incident", "--json"), 0, `"code":"4242"`, `"attempts":2`)
	for _, args := range []string{"--since 0s", "--since soon", "--lang de"} {
		b.want(b.run(append([]string{"incident"}, strings.Fields(args)...)...), 2, strings.Fields(args)[0])
	}
}
