package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/voucherd/voucherd/gateway"
)

// certificate writes a certificate for 127.0.0.1, and gives the pool that trusts it.
func certificate(t *testing.T, dir string, serial int64) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	must(err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	younger := time.Now().Add(time.Duration(serial) * time.Hour)
	must(os.Chtimes(cert, younger, younger))
	parsed, err := x509.ParseCertificate(der)
	must(err)
	trust = x509.NewCertPool()
	trust.AddCert(parsed)
	return cert, key, trust
}

func TestHTTPSWithRenewal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, trust := certificate(t, dir, 1)
	b := setup(t, func(b *bundle) {
		var err error
		b.cfg.TLS, err = gateway.LoadCertificate(cert, key)
		b.must(err)
	})
	get := func(trust *x509.CertPool) (proto int, hsts string, err error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url+"/livez", http.NoBody)
		b.must(err)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, "", err
		}
		b.must(resp.Body.Close())
		return resp.ProtoMajor, resp.Header.Get("Strict-Transport-Security"), nil
	}
	proto, hsts, err := get(trust)
	b.must(err)
	if proto != 2 || hsts == "" {
		t.Errorf("HTTP/%d, HSTS %q", proto, hsts)
	}
	_, _, renewed := certificate(t, dir, 2)
	_, _, err = get(renewed)
	b.must(err)
	b.must(os.WriteFile(key, []byte("half a renewal"), 0o600))
	b.must(os.Chtimes(key, time.Now().Add(9*time.Hour), time.Now().Add(9*time.Hour)))
	if _, _, err = get(renewed); err != nil {
		t.Errorf("files that do not fit together: %v", err)
	}
}

func TestMissingCertificateIsSaid(t *testing.T) {
	t.Parallel()
	if _, err := gateway.LoadCertificate("/nonexistent/cert.pem", "/nonexistent/key.pem"); err == nil {
		t.Fatal("loaded")
	}
}
