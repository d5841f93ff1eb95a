package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/internal/config"
)

func withWebhooks() []config.Section { return []config.Section{config.PandaPon, config.Webhooks} }

func TestAccountsHaveTheWebhookOfTheSettingsOrTheirOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := write("one", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	two := write("two", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	entry := "\n  - {name: %, accessKey: k, secretEnv: S, userId: u"
	file := write("accounts.yml", "accounts:"+strings.ReplaceAll(entry, "%", "a")+"}"+
		strings.ReplaceAll(entry, "%", "b")+", webhookUrl: 'https://b.example', webhookSecretFile: "+two+"}"+
		strings.ReplaceAll(entry, "%", "c")+", webhookUrl: ''}")
	env := map[string]string{
		"VOUCHERD_ACCOUNTS_FILE": file, "S": "secret", "VOUCHERD_WEBHOOK_URL": "https://a.example/x", "VOUCHERD_WEBHOOK_SECRET_FILE": one,
		"VOUCHERD_WEBHOOK_ALLOW_PRIVATE": "yes",
	}
	cfg, err := load(withWebhooks(), env)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := cfg.Accounts[0].Webhook, cfg.Accounts[1].Webhook, cfg.Accounts[2].Webhook
	if a.URL != "https://a.example/x" || len(a.Secrets) != 1 || a.Account != "a" || !a.AllowPrivate {
		t.Errorf("%+v", a)
	}
	if b.URL != "https://b.example" || len(b.Secrets) != 2 || b.Account != "b" || c.URL != "" {
		t.Errorf("%+v, %+v", b, c)
	}
	if cfg, err = load([]config.Section{config.PandaPon}, env); err != nil || cfg.Accounts[0].Webhook.URL != "" {
		t.Errorf("a command without webhooks: %+v %v", cfg.Accounts, err)
	}
}

func TestWebhooksSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]map[string]string{
		"VOUCHERD_WEBHOOK_URL":           {"VOUCHERD_WEBHOOK_URL": "shop.example"},
		"VOUCHERD_WEBHOOK_SECRET_FILE":   {"VOUCHERD_WEBHOOK_URL": "https://shop.example", "VOUCHERD_WEBHOOK_SECRET_FILE": secret},
		"VOUCHERD_WEBHOOK_ALLOW_PRIVATE": {"VOUCHERD_WEBHOOK_ALLOW_PRIVATE": "perhaps"},
	} {
		env["PANDAPON_ACCESS_KEY"], env["PANDAPON_ACCESS_SECRET"], env["PANDAPON_USER_ID"] = "k", "s", "u"
		_, err := load(withWebhooks(), env)
		if found := faults(t, err); len(found) != 1 || found[name] == "" || strings.Contains(found[name], "hidden") {
			t.Errorf("%s: %v", name, found)
		}
	}
	_, err := load(withWebhooks(), map[string]string{
		"PANDAPON_ACCESS_KEY": "k", "PANDAPON_ACCESS_SECRET": "s", "PANDAPON_USER_ID": "u", "VOUCHERD_WEBHOOK_URL": "https://shop.example",
	})
	if found := faults(t, err); found["VOUCHERD_WEBHOOK_SECRET_FILE"] == "" {
		t.Errorf("unsigned events: %v", found)
	}
}
