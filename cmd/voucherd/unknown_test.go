package main_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	main "github.com/voucherd/voucherd/cmd/voucherd"
	"github.com/voucherd/voucherd/internal/config"
)

func TestEveryCommandNamesUnknownVariables(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	misspelt := map[string]string{
		"VOUCHERD_TOKENS": "VOUCHERD_GATEWAY_TOKENS", "VOUCHERD_CONCURENCY": "VOUCHERD_CONCURRENCY",
		"PANDAPON_ACESS_SECRET": "PANDAPON_ACCESS_SECRET", "VOUCHERD_ACCESS_KEY": "PANDAPON_ACCESS_KEY",
		"VOUCHERD_REDIS": "VOUCHERD_REDIS_URL", "VOUCHERD_DEMO_ONSE": "VOUCHERD_DEMO_ONCE", "VOUCHERD_XYZZY": "",
	}
	for name := range misspelt {
		b.env = append(b.env, name+"="+secret)
	}
	for _, args := range []string{
		"version", "list --account none", "token new --role producer --name shop", "show", "enqueue", "sign x.jpg",
		"sandbox --fault nonsense", "demo --order 1", "gateway --listen nowhere", "worker --concurrency 0",
	} {
		o := b.run(strings.Fields(args)...)
		for name, nearest := range misspelt {
			line := regexp.MustCompile(`(?m)^voucherd: `+name+` .*`).FindAllString(o.stderr, -1)
			if len(line) != 1 || nearest != "" != strings.Contains(line[0], "did you mean "+nearest+"?") {
				t.Errorf("%s says of %s: %q", args, name, line)
			}
		}
		if strings.Contains(o.stdout+o.stderr, secret) {
			t.Errorf("%s printed a value", args)
		}
	}
}

// TestASharedEnvironmentIsNoMisspelling gives a command every variable that any command knows, and
// those that a cluster adds for its services.
func TestASharedEnvironmentIsNoMisspelling(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var env []string
	for _, s := range config.Settings() {
		env = append(env, s.Env+"=x")
	}
	for _, name := range commands(t, b) {
		for word := range strings.FieldsSeq(b.must(0, name, "--help").stdout) {
			if v := regexp.MustCompile(`^\(?\$((VOUCHERD|PANDAPON)_[A-Z_]+)`).FindStringSubmatch(word); v != nil {
				env = append(env, v[1]+"=x")
			}
		}
	}
	if len(env) < 100 {
		t.Fatalf("only %d variables: %v", len(env), env)
	}
	b.env = env
	b.want(b.run("version"), 2, "VOUCHERD_COLOR must be one of") // every command reads it
	accounts := b.file("accounts.yaml", []byte("accounts:\n- {name: eu, secretEnv: PANDAPON_EU_SECRET}\n"))
	b.env = append(env, "VOUCHERD_ACCOUNTS_FILE="+accounts, "PANDAPON_EU_SECRET="+secret, "VOUCHERD_NEVER_SET=", "VOUCHERD_COLOR=never",
		"VOUCHERD_GATEWAY_SERVICE_HOST=10.0.0.1", "VOUCHERD_SERVICE_PORT_HTTP=80", "VOUCHERD_PORT=tcp://10.0.0.1:80",
		"VOUCHERD_PORT_80_TCP_ADDR=10.0.0.1")
	if o := b.must(0, "version"); o.stderr != "" {
		t.Errorf("it says: %s", o.stderr)
	}
}

func TestAGatewayWithoutTokensSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_TOKENS=operator:me:hash", "VOUCHERD_GATEWAY_LISTEN=127.0.0.1:0")
	log := &lockedBuffer{}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- main.Run(ctx, []string{"gateway"}, strings.NewReader(""), log, log, b.env) }()
	eventually(t, "it listens", func() bool { return strings.Contains(log.String(), `"gateway.listening"`) })
	cancel()
	<-code
	for _, line := range []string{
		`"level":"warn",.*"event":"gateway.without_tokens".*voucherd token new.*VOUCHERD_GATEWAY_TOKENS_FILE`,
		`"level":"warn",.*"event":"settings.unknown","variable":"VOUCHERD_TOKENS","nearest":"VOUCHERD_GATEWAY_TOKENS"`,
	} {
		if n := len(regexp.MustCompile(line).FindAllString(log.String(), -1)); n != 1 {
			t.Errorf("%s stands %d times in:\n%s", line, n, log)
		}
	}
}
