package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// tlsFiles are the files that a URL names for TLS; "": none.
type tlsFiles struct{ ca, cert, key string }

// takeFiles takes them out of a URL: go-redis does not know them.
func takeFiles(u *url.URL) (f tlsFiles) {
	q := u.Query()
	for name, field := range map[string]*string{"ca_file": &f.ca, "cert_file": &f.cert, "key_file": &f.key} {
		if q.Has(name) {
			*field = q.Get(name)
			q.Del(name)
			u.RawQuery = q.Encode()
		}
	}
	return f
}

// apply reads the files. The client's certificate is read again for each connection, so that it may
// be renewed.
func (f tlsFiles) apply(c *tls.Config) error {
	switch {
	case f == tlsFiles{}:
		return nil
	case c == nil:
		return errors.New("ca_file, cert_file and key_file are for TLS: write rediss://")
	case (f.cert == "") != (f.key == ""):
		return errors.New("cert_file and key_file belong together")
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca_file: %s holds no certificate in PEM", f.ca)
		}
	}
	if f.cert == "" {
		return nil
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		return &pair, err
	}
	_, err := c.GetClientCertificate(nil)
	return err
}
