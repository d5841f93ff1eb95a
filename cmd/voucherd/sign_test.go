package main_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

func TestSignPrintsARequestThatIsAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	o := b.must(0, "sign", "--order", order, file)
	header := func(name string) string {
		m := regexp.MustCompile(`'` + name + `: ([^']*)'`).FindStringSubmatch(o.stdout)
		if m == nil {
			t.Fatalf("no %s in %s", name, o.stdout)
		}
		return m[1]
	}
	c := pandapon.Credentials{AccessKey: header("access-key"), UserID: header("user-id"), Secret: secret}
	if got := (pandapon.SignRule{}).Sign(c, header("timestamp"), header("nonce-str")); got != header("signature") {
		t.Errorf("the signature is %s, want %s", header("signature"), got)
	}
	if len(b.box.Requests()) != 0 {
		t.Error("sign sent something")
	}
	for _, tool := range []string{"sh", "curl", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the command was checked, but there is no %s to run it with", tool)
		}
	}
	run := exec.CommandContext(t.Context(), "sh", "-c", o.stdout)
	answer, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(answer), `"code":200`) {
		t.Fatalf("%v: %s", err, answer)
	}
	if r := b.box.Requests(); len(r) != 1 || !r[0].Accepted || r[0].OrderID != order {
		t.Errorf("the sandbox saw %+v", r)
	}
}

func TestSignTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, file := b.picture(1)
	b.want(b.run("sign", "--order", "1", "--account", "nobody", file), 2, "there is no account", b.account)
	b.want(b.run("sign", "--order", "1", b.dir), 1, "is a directory")
	b.want(b.run("sign", "--order", "1", b.dir+"/none"), 1, "no such file")
}
