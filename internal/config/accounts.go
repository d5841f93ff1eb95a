package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/voucherd/voucherd/internal/accountname"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
)

// defaultAccount is the account that the PANDAPON_ settings make.
const defaultAccount = "default"

// accountEntry is one account of an accounts file. What it leaves out is as the settings say.
type accountEntry struct {
	Name        string `yaml:"name"`
	AccessKey   string `yaml:"accessKey"`
	SecretFile  string `yaml:"secretFile"`
	SecretEnv   string `yaml:"secretEnv"`
	UserID      string `yaml:"userId"`
	BaseURL     string `yaml:"baseUrl"`
	UploadPath  string `yaml:"uploadPath"`
	Concurrency *int   `yaml:"concurrency"`
	Rate        string `yaml:"rate"`

	WebhookURL        *string `yaml:"webhookUrl"`
	WebhookSecretFile string  `yaml:"webhookSecretFile"`
}

// accountsFile is what an accounts file holds.
type accountsFile struct {
	Accounts []accountEntry `yaml:"accounts"`
	Lanes    yaml.Node      `yaml:"lanes"` // the former name of accounts
}

// AccountVariables lists the variables that an accounts file takes secrets from. A file that cannot
// be read, or not twice, has none: Load says what is wrong with it.
func AccountVariables(path string) []string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	b, err := readFile(path)
	if err != nil {
		return nil
	}
	var file accountsFile
	if err := yaml.Unmarshal(b, &file); err != nil {
		return nil
	}
	var names []string
	for _, e := range file.Accounts {
		names = append(names, e.SecretEnv)
	}
	return names
}

// AccountNames lists the accounts that the environment has settings for, complete or not: those of
// the accounts file, and `default` with the PANDAPON_ ones.
func AccountNames(getenv func(string) string) ([]string, error) {
	var names []string
	if getenv("PANDAPON_ACCESS_KEY") != "" {
		names = append(names, defaultAccount)
	}
	path := getenv("VOUCHERD_ACCOUNTS_FILE")
	if path == "" {
		return names, nil
	}
	b, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("VOUCHERD_ACCOUNTS_FILE: %w", err)
	}
	var file accountsFile
	if err := yaml.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("VOUCHERD_ACCOUNTS_FILE: %s: %w", path, err)
	}
	for _, e := range file.Accounts {
		names = append(names, e.Name)
	}
	return names, nil
}

// accounts makes the accounts of the PANDAPON_ settings and of the accounts file.
func (l *loader) accounts() {
	a := l.cfg.account
	named := a.accessKey != "" || a.userID != "" || l.given("PANDAPON_ACCESS_SECRET") || a.secretFile != ""
	if l.cfg.accountsFile == "" || named {
		l.ownAccount()
	}
	if l.cfg.accountsFile != "" {
		l.fileAccounts()
	}
	for _, account := range l.cfg.Accounts {
		if plainHTTP(account.BaseURL) {
			l.cfg.Warnings = append(l.cfg.Warnings, fmt.Sprintf(
				"account %s sends vouchers unencrypted to %s: use https:// unless this network is yours alone", account.Name, account.BaseURL))
		}
	}
}

// ownAccount makes the account `default`.
func (l *loader) ownAccount() {
	a := l.cfg.account
	if a.accessKey == "" {
		l.missing("PANDAPON_ACCESS_KEY", "the access key of your PandaPon account")
	}
	if a.userID == "" {
		l.missing("PANDAPON_USER_ID", "the sub-account of your PandaPon account")
	}
	url, file := l.ownWebhook()
	l.cfg.Accounts = append(l.cfg.Accounts, Account{
		Name:        defaultAccount,
		Credentials: pandapon.Credentials{AccessKey: a.accessKey, Secret: l.accountSecret(), UserID: a.userID},
		BaseURL:     a.baseURL, UploadPath: a.uploadPath, Concurrency: l.cfg.concurrency, Rate: l.cfg.rate,
		Webhook: l.accountWebhook(defaultAccount, url, file),
	})
	l.headers(l.name("PANDAPON_ACCESS_KEY"), a.accessKey)
	l.headers(l.name("PANDAPON_USER_ID"), a.userID)
}

func (l *loader) missing(env, what string) {
	if l.good[env] { // else what was given is wrong, and said to be
		l.fault(l.name(env), "is not set: give it %s", what)
	}
}

func (l *loader) accountSecret() pandapon.Secret {
	a := l.cfg.account
	switch {
	case a.secret != "" && a.secretFile != "":
		l.fault(l.name("PANDAPON_ACCESS_SECRET_FILE"), "PANDAPON_ACCESS_SECRET is set too: leave one of them out")
	case a.secret != "":
		return a.secret
	case a.secretFile != "":
		return l.secretFrom(l.name("PANDAPON_ACCESS_SECRET_FILE"), a.secretFile)
	default:
		l.missing("PANDAPON_ACCESS_SECRET",
			"the access secret of your PandaPon account, or name a file that holds it in PANDAPON_ACCESS_SECRET_FILE")
	}
	return ""
}

// headers refuses what cannot stand in a header.
func (l *loader) headers(name, value string) {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			l.fault(name, "has characters that cannot be sent in a header: use printable ASCII")
			return
		}
	}
}

// secretFrom reads a secret's file; the line's end that editors add is no part of it.
func (l *loader) secretFrom(name, path string) pandapon.Secret {
	b, err := l.readFile(path)
	if err != nil {
		l.fault(name, "%s", err)
		return ""
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if strings.TrimSpace(secret) == "" {
		l.fault(name, "%s holds no secret", path)
	} else if strings.ContainsAny(secret, "\r\n") {
		l.fault(name, "%s holds more than one line", path)
	}
	return pandapon.Secret(secret)
}

func (l *loader) fileAccounts() {
	name, path := l.name("VOUCHERD_ACCOUNTS_FILE"), l.cfg.accountsFile
	b, err := l.readFile(path)
	if err != nil {
		l.fault(name, "%s", err)
		return
	}
	var file accountsFile
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true) // a misspelt field would be a setting that does nothing
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		l.fault(name, "%s: %s", path, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n ", ""))
		return
	}
	switch now, _ := NewName("lanes"); {
	case !file.Lanes.IsZero():
		l.fault(name, "%s: the key lanes is called %s now", path, now)
	case len(file.Accounts) == 0:
		l.fault(name, "%s names no accounts", path)
	}
	for i, e := range file.Accounts {
		l.fileAccount(fmt.Sprintf("%s, account %d", path, i+1), e)
	}
}

// fileAccount makes one account of the file, and reports all that is wrong with it.
func (l *loader) fileAccount(where string, e accountEntry) {
	switch {
	case !ledger.ValidAccount(e.Name):
		l.fault(where, "name: %q %s", e.Name, accountname.Rule)
	case l.hasAccount(e.Name) && e.Name == defaultAccount:
		l.fault(where, "the account default is named twice: here and by the PANDAPON_ settings, or twice here")
	case l.hasAccount(e.Name):
		l.fault(where, "the account %s is named twice", e.Name)
	default:
		where += " (" + e.Name + ")"
	}
	account := Account{
		Name: e.Name, BaseURL: e.BaseURL, UploadPath: e.UploadPath, Concurrency: l.cfg.concurrency, Rate: l.cfg.rate,
		Webhook:     l.entryWebhook(where, e),
		Credentials: pandapon.Credentials{AccessKey: e.AccessKey, UserID: e.UserID, Secret: l.entrySecret(where, e)},
	}
	if account.BaseURL == "" {
		account.BaseURL = l.cfg.account.baseURL
	} else if err := checkClient(pandapon.Config{BaseURL: e.BaseURL}, "base URL: "); err != nil {
		l.fault(where, "baseUrl: %s", err)
	}
	if account.UploadPath == "" {
		account.UploadPath = l.cfg.account.uploadPath
	} else if err := checkClient(pandapon.Config{UploadPath: e.UploadPath}, "upload path: "); err != nil {
		l.fault(where, "uploadPath: %s", err)
	}
	if e.Concurrency != nil {
		if account.Concurrency = *e.Concurrency; account.Concurrency < 1 || account.Concurrency > 1000 {
			l.fault(where, "concurrency: %d is not between 1 and 1000", account.Concurrency)
		}
	}
	if e.Rate != "" {
		var err error
		if account.Rate, err = ledger.ParseRate(e.Rate); err != nil {
			l.fault(where, "rate: %s", err)
		}
	}
	for _, f := range []struct{ name, value string }{{"accessKey", e.AccessKey}, {"userId", e.UserID}} {
		if f.value == "" {
			l.fault(where, "%s is missing", f.name)
		}
		l.headers(where+", "+f.name, f.value)
	}
	l.cfg.Accounts = append(l.cfg.Accounts, account)
}

func (l *loader) entrySecret(where string, e accountEntry) pandapon.Secret {
	switch {
	case e.SecretFile != "" && e.SecretEnv != "":
		l.fault(where, "has secretFile and secretEnv: leave one of them out")
	case e.SecretFile != "":
		return l.secretFrom(where+", secretFile", e.SecretFile)
	case e.SecretEnv != "":
		if v := l.lookup(e.SecretEnv); v != "" {
			return pandapon.Secret(v)
		}
		l.fault(where, "secretEnv: the variable %s is not set", e.SecretEnv)
	default:
		l.fault(where, "needs secretFile, a file that holds the access secret, or secretEnv, a variable that does")
	}
	return ""
}

func (l *loader) lookup(env string) string {
	if l.in.Env == nil {
		return ""
	}
	return l.in.Env(env)
}

func (l *loader) hasAccount(name string) bool {
	for _, account := range l.cfg.Accounts {
		if account.Name == name {
			return true
		}
	}
	return false
}
