// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLS says how clients must connect.
type TLS struct {
	// ServerName, if set, is the only name in the servers' certificates: they
	// then hold no address, and a client must be told the name.
	ServerName string
	// RequireClientCertificate refuses clients without a certificate.
	RequireClientCertificate bool
}

// certify makes the CA, and the certificate that clients may show.
func (c *Cluster) certify(options Options) error {
	if options.TLS == nil {
		return nil
	}
	c.ServerName = options.TLS.ServerName
	c.CAFile = filepath.Join(c.folder.path, "ca.pem")
	c.ClientCertFile = filepath.Join(c.folder.path, "client.pem")
	c.ClientKeyFile = filepath.Join(c.folder.path, "client-key.pem")
	ca, err := newAuthority()
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	c.folder.authority = ca
	cert, key, err := ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "client"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	for name, content := range map[string][]byte{c.CAFile: ca.pem, c.ClientCertFile: cert, c.ClientKeyFile: key} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return fmt.Errorf("make certificates: %w", err)
		}
	}
	return nil
}

// encryption is the node's setting of that name: its key and certificates are
// in the configuration itself, as PEM.
func (c *Cluster) encryption(settings TLS) (map[string]any, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "node"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)},
	}
	if settings.ServerName != "" {
		template.DNSNames, template.IPAddresses = []string{settings.ServerName}, nil
	}
	cert, key, err := c.folder.authority.issue(template)
	if err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	return map[string]any{
		"enabled":             true,
		"optional":            false,
		"require_client_auth": settings.RequireClientCertificate,
		"ssl_context_factory": map[string]any{
			"class_name": "org.apache.cassandra.security.PEMBasedSslContextFactory",
			"parameters": map[string]string{
				"private_key":          string(key) + string(cert),
				"trusted_certificates": string(c.folder.authority.pem),
			},
		},
	}, nil
}

// authority is a CA for one cluster.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "holdfast test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 7),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// issue signs a certificate for a new key and returns both as PEM.
func (a *authority) issue(template *x509.Certificate) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter, template.KeyUsage = a.cert.NotBefore, a.cert.NotAfter, x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
