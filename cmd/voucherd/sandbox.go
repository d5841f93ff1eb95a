package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

type sandboxCmd struct {
	Listen        string        `help:"Address of the sandbox." default:"127.0.0.1:8090" placeholder:"ADDRESS" variable:"VOUCHERD_SANDBOX_LISTEN"`
	AccessKey     string        `help:"Access key it knows." default:"demo" placeholder:"KEY" variable:"PANDAPON_ACCESS_KEY"`
	UserID        string        `help:"Sub-account it knows; * is any." default:"*" placeholder:"ID" variable:"PANDAPON_USER_ID"`
	UploadPath    string        `help:"Path that vouchers are sent to." default:"${uploadPath}" placeholder:"PATH" variable:"PANDAPON_UPLOAD_PATH"`
	SignParts     string        `help:"What the signature is made of, in order, and perhaps how." default:"${signParts}" placeholder:"LIST" variable:"PANDAPON_SIGN_PARTS"`
	TimestampUnit string        `help:"Unit of the timestamp: ms or s." default:"ms" placeholder:"UNIT" variable:"PANDAPON_TIMESTAMP_UNIT"`
	CheckNonce    bool          `help:"Refuse a nonce-str that was used before." variable:"VOUCHERD_SANDBOX_CHECK_NONCE"`
	Fault         []string      `help:"Fail from the start: outage, hang, slow, reset, cut-off, not-json, throttle, unauthorized, gone, refuse or status, with settings, as in outage,for=10s,probability=0.3. May stand several times." placeholder:"FAULT" sep:"none" variable:"VOUCHERD_SANDBOX_FAULT"`
	Delay         time.Duration `help:"Answer time of a healthy call." default:"0s" placeholder:"TIME" variable:"VOUCHERD_SANDBOX_DELAY"`
	Seed          uint64        `help:"Makes faults with a probability repeat; 0 picks a seed." placeholder:"N" variable:"VOUCHERD_SANDBOX_SEED"`
}

// Help says what is not a flag.
func (sandboxCmd) Help() string {
	return "The secret it checks signatures with comes from $PANDAPON_ACCESS_SECRET (default demo-secret). " +
		"GET /_sandbox/requests shows what arrived; POST /_sandbox/faults sets faults, as in {\"faults\":[{\"kind\":\"outage\",\"for\":\"10s\"}]}."
}

// Run serves until the context ends.
func (c *sandboxCmd) Run(ctx context.Context, s *session) error {
	cfg, faults, err := c.read(s)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen (--listen, VOUCHERD_SANDBOX_LISTEN): %w", err)
	}
	box := sandbox.New(cfg)
	box.SetFaults(faults...)
	stop := serve(ctx, listener, box, app.NewLog(s.stderr, config.Config{}))
	defer stop()
	defer box.Close() // else the server would wait for calls that hang
	fmt.Fprintf(s.stderr, "The sandbox listens on http://%s for the access key %s.\n", listener.Addr(), c.AccessKey)
	<-ctx.Done()
	return nil
}

// read checks the flags.
func (c *sandboxCmd) read(s *session) (sandbox.Config, []sandbox.Fault, error) {
	var faults []sandbox.Fault
	var wrong []config.Fault
	for _, text := range c.Fault {
		f, err := sandbox.ParseFault(text)
		if err != nil {
			wrong = append(wrong, config.Fault{Name: "--fault", Reason: err.Error()})
			continue
		}
		faults = append(faults, f)
	}
	rule, err := pandapon.ParseSignRule(c.SignParts)
	if err != nil {
		wrong = append(wrong, config.Fault{Name: "--sign-parts", Reason: err.Error()})
	}
	if rule.Unit, err = pandapon.ParseTimestampUnit(c.TimestampUnit); err != nil {
		wrong = append(wrong, config.Fault{Name: "--timestamp-unit", Reason: err.Error()})
	}
	if len(wrong) > 0 {
		return sandbox.Config{}, nil, &config.Error{Faults: wrong}
	}
	credentials := pandapon.Credentials{AccessKey: c.AccessKey, UserID: c.UserID, Secret: "demo-secret"}
	if c.UserID == "*" {
		credentials.UserID = ""
	}
	if v := s.getenv("PANDAPON_ACCESS_SECRET"); v != "" {
		credentials.Secret = pandapon.Secret(v)
	}
	return sandbox.Config{
		Credentials: []pandapon.Credentials{credentials}, Rule: rule,
		UploadPath: c.UploadPath, CheckNonce: c.CheckNonce, Delay: c.Delay, Seed: c.Seed,
	}, faults, nil
}
