package pandapon_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/voucherd/voucherd/pandapon"
)

func TestSecretShowsNothing(t *testing.T) {
	t.Parallel()
	secret := pandapon.Secret(testSecret)
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T%v", "%10.3s", "%!"} {
		for _, value := range []any{secret, &secret, credentials(), []pandapon.Secret{secret}, map[string]any{"s": secret}} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
	}
	shown = append(shown, secret.String(), secret.GoString(), fmt.Sprint(secret), fmt.Errorf("x: %w", fmt.Errorf("%v", secret)).Error())
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", secret, "credentials", credentials())
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "credentials", credentials())
	shown = append(shown, log.String())
	asJSON, err := json.Marshal(map[string]any{"a": secret, "b": credentials()})
	if err != nil {
		t.Fatal(err)
	}
	asXML, err := xml.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	text, err := secret.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(shown, string(asJSON), string(asXML), string(text)) {
		if strings.Contains(strings.ToLower(s), testSecret[:6]) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", testSecret[:3])) {
			t.Errorf("shows the secret: %s", s)
		}
	}
	if !strings.Contains(string(asJSON), `"a":"***"`) {
		t.Errorf("json is %s", asJSON)
	}
	if secret.Reveal() != testSecret {
		t.Error("Reveal gives another value")
	}
}

func TestSecretIsReadFromText(t *testing.T) {
	t.Parallel()
	var got struct {
		Secret pandapon.Secret `json:"secret"`
	}
	if err := json.Unmarshal([]byte(`{"secret":"b"}`), &got); err != nil {
		t.Fatal(err)
	}
	if got.Secret.Reveal() != "b" {
		t.Errorf("got %q", got.Secret.Reveal())
	}
}
