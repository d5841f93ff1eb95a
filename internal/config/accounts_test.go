package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
)

func TestAnAccountsFileNamesSeveralAccounts(t *testing.T) {
	t.Parallel()
	file := write(t, `
accounts:
- name: eu
  accessKey: k1
  userId: u1
  secretFile: `+write(t, "s1\n")+`
  concurrency: 2
  rate: 100/m
- {name: us, accessKey: k2, userId: u2, secretEnv: US_SECRET, baseUrl: "https://us.example.com", uploadPath: /other}
`)
	cfg, err := load([]config.Section{config.PandaPon, config.Delivery}, map[string]string{
		"VOUCHERD_ACCOUNTS_FILE": file, "US_SECRET": "s2", "VOUCHERD_CONCURRENCY": "5", "VOUCHERD_RATE": "20/s",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Account{
		{
			Name: "eu", Credentials: pandapon.Credentials{AccessKey: "k1", UserID: "u1", Secret: "s1"},
			BaseURL: pandapon.DefaultBaseURL, UploadPath: pandapon.DefaultUploadPath, Concurrency: 2,
			Rate: ledger.Rate{Calls: 100, Per: time.Minute},
		},
		{
			Name: "us", Credentials: pandapon.Credentials{AccessKey: "k2", UserID: "u2", Secret: "s2"},
			BaseURL: "https://us.example.com", UploadPath: "/other", Concurrency: 5,
			Rate: ledger.Rate{Calls: 20, Per: time.Second},
		},
	}
	if diff := cmp.Diff(want, cfg.Accounts); diff != "" {
		t.Error(diff)
	}
}

func TestAnAccountsFileAddsToTheAccount(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"PANDAPON_ACCESS_KEY": "k", "PANDAPON_USER_ID": "u", "PANDAPON_ACCESS_SECRET": "s",
		"VOUCHERD_ACCOUNTS_FILE": write(t, "accounts: [{name: eu, accessKey: k1, userId: u1, secretEnv: PANDAPON_ACCESS_SECRET}]"),
	}
	cfg, err := load([]config.Section{config.PandaPon}, env)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Accounts) != 2 || cfg.Accounts[0].Name != "default" || cfg.Accounts[1].Name != "eu" {
		t.Errorf("got %+v", cfg.Accounts)
	}
	env["VOUCHERD_ACCOUNTS_FILE"] = write(t, "accounts: [{name: default, accessKey: k1, userId: u1, secretEnv: PANDAPON_ACCESS_SECRET}]")
	if err := second(load([]config.Section{config.PandaPon}, env)); err == nil || !strings.Contains(err.Error(), "default is named twice") {
		t.Errorf("two accounts of one name: %v", err)
	}
}

func TestAnAccountsFileSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	for text, says := range map[string][]string{
		"":                           {"names no accounts"},
		"lanes: [{name: a}]":         {"the key lanes is called accounts now"},
		"accounts: 7":                {"cannot unmarshal"},
		"accounts: [{name: a, key}]": {"field key not found"},
		"accounts:\n- {name: A b}\n- {name: eu, accessKey: \"k\\n\", secretEnv: NOT_THERE, baseUrl: x, concurrency: 0, rate: 20}\n- {name: eu, secretFile: /no, secretEnv: NO}": {
			"account 1: name:", "account 1: needs secretFile", "account 1: accessKey is missing", "account 2 (eu): baseUrl:", "account 2 (eu): concurrency:", "account 2 (eu): rate: \"20\" is not a rate",
			"account 2 (eu): userId is missing", "accessKey: has characters", "NOT_THERE is not set", "account 3: the account eu is named twice",
			"has secretFile and secretEnv",
		},
	} {
		err := second(load([]config.Section{config.PandaPon}, map[string]string{"VOUCHERD_ACCOUNTS_FILE": write(t, text)}))
		for _, want := range says {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range config.Settings() {
		f.Add(s.Env, s.Default)
	}
	f.Add("VOUCHERD_MAX_AGE", "99999999999d")
	f.Add("VOUCHERD_MAX_VOUCHER_BYTES", "9223372036854775807MiB")
	f.Fuzz(func(t *testing.T, env, text string) {
		cfg, err := load(all(), map[string]string{env: text})
		if err != nil {
			faults(t, err)
			return
		}
		if cfg.MaxVoucherBytes < 1 || cfg.Ledger.MaxAge <= 0 || cfg.Worker.ShutdownTimeout <= cfg.Worker.CallTimeout ||
			len(cfg.Policy.Short) == 0 || len(cfg.MediaTypes) == 0 || cfg.Policy.Jitter >= 1 {
			t.Errorf("%s=%q was taken: %+v", env, text, cfg)
		}
	})
}
