package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// CertificateFiles are a certificate and its key as PEM files. They are read again when they have
// changed, so that a renewed certificate needs no restart.
type CertificateFiles struct {
	cert, key string

	mu      sync.Mutex
	pair    *tls.Certificate
	changed time.Time // of the younger file, when it was read
}

// LoadCertificate reads a certificate and its key.
func LoadCertificate(cert, key string) (*CertificateFiles, error) {
	c := &CertificateFiles{cert: cert, key: key}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *CertificateFiles) load() error {
	changed := c.younger()
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	c.pair, c.changed = &pair, changed
	return nil
}

func (c *CertificateFiles) younger() time.Time {
	var last time.Time
	for _, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// get gives the certificate. New files that do not fit together, as in the middle of a renewal, are
// left for later.
func (c *CertificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.younger().Equal(c.changed) {
		_ = c.load() // if not, the old one stays
	}
	return c.pair, nil
}

func (c *CertificateFiles) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}
