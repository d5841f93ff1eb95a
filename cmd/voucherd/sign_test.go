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
			t.Fatalf("there is no %s to run the command with", tool)
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

// The program learns from what it prints itself, whatever the rule.
func TestSignLearnsTheRule(t *testing.T) {
	t.Parallel()
	for rule, unit := range map[string]string{
		"access-key,timestamp,nonce-str,secret": "ms", "secret,timestamp,access-key": "s", "nonce-str,user-id; hmac-sha256 lower-hex join=&": "ms",
		"secret,nonce-str,access-key,timestamp; sha512 base64 join=newline": "s",
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			order, file := b.picture(1)
			printed := b.must(0, "sign", "--order", order, "--sign-parts", rule, "--timestamp-unit", unit, file).stdout
			value := rule
			if strings.Contains(rule, " ") {
				value = "'" + rule + "'"
			}
			want := "PANDAPON_SIGN_PARTS=" + value + "\nPANDAPON_TIMESTAMP_UNIT=" + unit + "\n"
			o := b.runWith(strings.NewReader(printed), "sign", "--learn", "-")
			b.want(o, 0)
			if o.stdout != want {
				t.Errorf("learnt %s, want %s", o.stdout, want)
			}
			same := strings.Contains(o.stderr, "already")
			if same != (rule == (pandapon.SignRule{}).Text()) {
				t.Errorf("%s", o.stderr)
			}
			o = b.run("sign", "--learn", b.file("request.sh", []byte(printed)), "--sign-parts", rule, "--timestamp-unit", unit)
			b.want(o, 0, "already")
		})
	}
}

func TestSignLearnsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	learn := func(text string) outcome { return b.run("sign", "--learn", b.file("request", []byte(text))) }
	printed := b.must(0, "sign", "--order", order, file).stdout
	signature := regexp.MustCompile(`signature: \w+`).FindString(printed)
	b.want(learn(strings.Replace(printed, signature, "signature: "+strings.Repeat("A", 32), 1)), 3, "no rule gives this signature", "access-key, timestamp")
	b.want(learn(strings.Replace(printed, signature, "signature: short", 1)), 1, "its signature must be")
	b.want(learn(strings.Replace(printed, "access-key: key", "access-key: other", 1)), 1, "not that of account")
	two := "accounts:\n- {name: a, accessKey: key, userId: u, secretEnv: VOUCHERD_TEST_SECRET}\n" +
		"- {name: b, accessKey: other, userId: u, secretEnv: VOUCHERD_TEST_SECRET}\n"
	o := b.run("sign", "--account", "b", "--accounts-file", b.file("two.yaml", []byte(two)), "--learn", b.file("request", []byte(printed)))
	b.want(o, 2, "--account a")
	b.want(learn("hello"), 1, "no request with a signature header")
	b.want(b.run("sign", "--learn", b.dir), 1, "is a directory")
	b.want(b.run("sign", "--learn", "x", file), 2, "--learn goes with neither")
	b.want(b.run("sign"), 2, "--learn")
	without := regexp.MustCompile(`  --header 'nonce-str.*\n`).ReplaceAllString(printed, "")
	b.want(learn(without), 3)
}
