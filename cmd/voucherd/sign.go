package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
)

type signCmd struct {
	File    string `arg:"" help:"The picture or PDF." optional:""`
	Order   string `help:"PandaPon's id of the order." placeholder:"ID"`
	User    string `help:"Sub-account, when it is not the account's own." placeholder:"ID"`
	Account string `help:"Account whose access key and secret sign." default:"default" placeholder:"NAME"`
	Learn   string `help:"Find the rule that signed a request which is known to work. The file holds a curl command, a HAR, or the request with its headers; - is standard input." placeholder:"FILE"`

	kong.Plugins
}

// Help says what the command is good for.
func (signCmd) Help() string {
	return "Nothing is sent, and nothing is recorded. With --learn it prints settings. Otherwise the command printed is good for 600 seconds: the signature holds the time. " +
		"The secret takes part in the signature and stands nowhere in it; it comes from $PANDAPON_ACCESS_SECRET or $PANDAPON_ACCESS_SECRET_FILE."
}

func signSections() []config.Section { return []config.Section{config.PandaPon} }

// Run signs, or finds out how to.
func (c *signCmd) Run(ctx context.Context, s *session) error {
	switch {
	case c.Learn != "" && (c.File != "" || c.Order != "" || c.User != ""):
		return usagef("sign: --learn goes with neither a voucher, nor --order, nor --user")
	case c.Learn == "" && (c.File == "" || c.Order == ""):
		return usagef("sign: give a voucher and its --order, or --learn and a file that holds a signed request")
	}
	cfg, err := s.load(signSections())
	if err != nil {
		return err
	}
	account, err := findAccount(cfg, c.Account)
	if err != nil {
		return err
	}
	if c.Learn != "" {
		return c.learn(ctx, s, cfg, account)
	}
	return c.print(s, cfg, account)
}

// print prints the request.
func (c *signCmd) print(s *session, cfg config.Config, account config.Account) error {
	size, err := fileSize(c.File)
	if err != nil {
		return err
	}
	client, err := pandapon.NewClient(pandapon.Config{BaseURL: account.BaseURL, UploadPath: account.UploadPath, Rule: cfg.Rule})
	if err != nil {
		return fmt.Errorf("account %s: %w", account.Name, err)
	}
	defer client.Close()
	if c.User != "" {
		account.Credentials.UserID = c.User
	}
	r, err := client.Request(pandapon.Upload{
		Credentials: account.Credentials, Nonce: pandapon.NewNonce(), OrderID: c.Order, Size: size,
	})
	if err != nil {
		return usagef("sign: %w", err)
	}
	printCurl(s.stdout, r, c.File)
	return nil
}

func findAccount(cfg config.Config, name string) (config.Account, error) {
	var names []string
	for _, l := range cfg.Accounts {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return config.Account{}, usagef("--account: there is no account %q; there are: %s", name, strings.Join(names, ", "))
}

func fileSize(path string) (int64, error) {
	info, err := regular(path)
	switch {
	case err != nil:
		return 0, err
	case info.Size() == 0:
		return 0, fmt.Errorf("%s is empty", path)
	}
	return info.Size(), nil
}

// printCurl prints the request as a command for a POSIX shell. The voucher goes through a pipe: as
// an argument it would be too long.
func printCurl(w io.Writer, r pandapon.SignedRequest, file string) {
	fmt.Fprintf(w, "{ printf %%s %s; base64 < %s | tr -d '\\n'; printf %%s %s; } |\n",
		quote(r.BodyBefore), quote(file), quote(r.BodyAfter))
	fmt.Fprintf(w, "curl --silent --show-error --request %s %s \\\n", r.Method, quote(r.URL))
	for _, h := range r.Headers {
		fmt.Fprintf(w, "  --header %s \\\n", quote(h.Name+": "+h.Value))
	}
	fmt.Fprintln(w, "  --data-binary @-")
}

// quote makes one word of a POSIX shell of any text.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
