package main

import (
	"fmt"

	"github.com/voucherd/voucherd/gateway"
)

type tokenCmd struct {
	New tokenNewCmd `cmd:"" help:"Make a token for the gateway: it is shown once, beside the line to store."`
}

type tokenNewCmd struct {
	Role string `help:"What its holder may do: a producer enqueues vouchers and reads records, an operator does everything." required:"" placeholder:"ROLE" variable:"VOUCHERD_TOKEN_ROLE"`
	Name string `help:"Whose it is; it stands in the log." required:"" placeholder:"NAME" variable:"VOUCHERD_TOKEN_NAME"`
	JSON bool   `help:"Print an object." name:"json" variable:"VOUCHERD_JSON"`
}

// Help says where the line goes.
func (tokenNewCmd) Help() string {
	return "Add the line to the file that $VOUCHERD_GATEWAY_TOKENS_FILE names, or to $VOUCHERD_GATEWAY_TOKENS, and restart the gateway. " +
		"The line alone opens nothing: it holds the token's SHA-256. To take a token back, remove its line."
}

// Run makes a token. It keeps nothing.
func (c *tokenNewCmd) Run(s *session) error {
	role, err := gateway.ParseRole(c.Role)
	if err != nil {
		return usagef("--role: %w", err)
	}
	secret, stored, err := gateway.NewToken(role, c.Name)
	if err != nil {
		return usagef("--name: %w", err)
	}
	if c.JSON {
		fmt.Fprintf(s.stdout, "{\"token\":%q,\"line\":%q}\n", secret, stored)
		return nil
	}
	fmt.Fprintf(s.stdout, "token (shown this once; for Authorization: Bearer, or as the password in a browser):\n  %s\n\n"+
		"line to store (VOUCHERD_GATEWAY_TOKENS_FILE or VOUCHERD_GATEWAY_TOKENS):\n  %s\n", secret, stored)
	return nil
}
