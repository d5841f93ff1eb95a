package config

import (
	"fmt"

	"github.com/voucherd/voucherd/events"
)

// webhook is what the settings say of webhooks; an account of the accounts file may say otherwise.
type webhook struct {
	url, secretFile string
	allowPrivate    bool
}

func webhooks(c *Config) []Setting {
	return []Setting{
		row(Webhooks, "webhook-url", "", "URL", "where events are sent; without it, nowhere", parsed(&c.webhook.url, func(s string) (string, error) {
			return s, events.CheckURL(s)
		})),
		row(Webhooks, "webhook-secret-file", "", "FILE",
			"file that holds the secrets that sign events, whsec_… one a line: the receiver needs one of them", text(&c.webhook.secretFile)),
		row(Webhooks, "webhook-allow-private", "no", "YES/NO", "whether events may be sent to addresses of private networks: yes or no",
			func(s string) error {
				answer, err := oneOf("no", "yes")(s)
				c.webhook.allowPrivate = answer == "yes"
				return err
			}),
	}
}

// accountWebhook makes the webhook of an account from its address and the file of its secrets.
func (l *loader) accountWebhook(account string, url, file Given) events.Webhook {
	if url.Text == "" || !Webhooks.in(l.in.Sections) {
		return events.Webhook{}
	}
	if err := events.CheckURL(url.Text); err != nil {
		l.fault(url.Name, "%s", err)
		return events.Webhook{}
	}
	if file.Text == "" {
		l.fault(file.Name, "is not set: events are signed; the file holds whsec_ and 32 random bytes in base64")
		return events.Webhook{}
	}
	hook := events.Webhook{Account: account, URL: url.Text, AllowPrivate: l.cfg.webhook.allowPrivate}
	b, err := l.readFile(file.Text)
	if err == nil {
		hook.Secrets, err = events.ParseSecrets(string(b))
	}
	if err != nil {
		l.fault(file.Name, "%s", err)
	}
	if plainHTTP(url.Text) {
		l.cfg.Warnings = append(l.cfg.Warnings, fmt.Sprintf("account %s sends its events unencrypted: use an https:// address", account))
	}
	return hook
}

// entryWebhook makes the webhook of an account of the accounts file: what it leaves out is as the
// settings say, and an empty webhookUrl is none.
func (l *loader) entryWebhook(where string, e accountEntry) events.Webhook {
	url, file := l.ownWebhook()
	if e.WebhookURL != nil {
		url = Given{where + ", webhookUrl", *e.WebhookURL}
	}
	if e.WebhookSecretFile != "" {
		file = Given{where + ", webhookSecretFile", e.WebhookSecretFile}
	}
	return l.accountWebhook(e.Name, url, file)
}

// ownWebhook is what the settings say.
func (l *loader) ownWebhook() (url, file Given) {
	return Given{l.name("VOUCHERD_WEBHOOK_URL"), l.cfg.webhook.url},
		Given{l.name("VOUCHERD_WEBHOOK_SECRET_FILE"), l.cfg.webhook.secretFile}
}
