// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/gocql/gocql"
)

// Config says how to reach the database.
type Config struct {
	Hosts          []string // host or host:port
	Datacenter     string   // nodes there are asked first; "" asks all alike
	Username       string
	Password       string
	TLS            *TLS // nil: no TLS
	RequestTimeout time.Duration
	ConnectTimeout time.Duration
	Conns          int // connections to each node
}

// TLS is how the connection is protected. Host names are always verified.
type TLS struct {
	CA         []byte // PEM; empty trusts the system's authorities
	Cert, Key  []byte // PEM; a client certificate, or empty
	ServerName string // the name in the certificate, when it is not the host's
}

// The defaults of a [Config].
const (
	DefaultRequestTimeout = time.Minute
	DefaultConnectTimeout = 10 * time.Second
	defaultConns          = 2
)

// DefaultPort is where CQL is served unless told otherwise.
const DefaultPort = 9042

func (c Config) cluster() (*gocql.ClusterConfig, error) {
	if len(c.Hosts) == 0 {
		return nil, fmt.Errorf("no host of the database is named")
	}
	cluster := gocql.NewCluster(c.Hosts...)
	cluster.Port = DefaultPort
	cluster.ProtoVersion = 4
	cluster.Timeout = orDefault(c.RequestTimeout, DefaultRequestTimeout)
	cluster.WriteTimeout = cluster.Timeout
	cluster.ConnectTimeout = orDefault(c.ConnectTimeout, DefaultConnectTimeout)
	cluster.NumConns = c.Conns
	if cluster.NumConns == 0 {
		cluster.NumConns = defaultConns
	}
	cluster.Consistency = gocql.Quorum
	// The driver asks for system tables of its own with this: small ones, which
	// need no pages, and a page_size guardrail would forbid any size of them.
	cluster.PageSize = 0
	// Servers stamp what has no USING TIMESTAMP; this machine's clock must not count.
	cluster.DefaultTimestamp = false
	// Requests are sent together by our own connections.
	cluster.WriteCoalesceWaitTime = 0
	cluster.Dialer = &gatheringDialer{net.Dialer{Timeout: cluster.ConnectTimeout}}
	// Retries are the caller's: with smaller pages, narrower ranges, in time.
	cluster.RetryPolicy = nil
	cluster.ReconnectInterval = 10 * time.Second
	// The driver waits for agreement after a DROP and says nothing when there is
	// none; callers ask for it themselves.
	cluster.MaxWaitSchemaAgreement = time.Second
	cluster.Events.DisableSchemaEvents = true
	cluster.Logger = silent{}
	if c.Username != "" {
		cluster.Authenticator = gocql.PasswordAuthenticator{
			Username: c.Username, Password: c.Password,
			AllowedAuthenticators: []string{
				"org.apache.cassandra.auth.PasswordAuthenticator",
				"org.apache.cassandra.auth.MutualTlsWithPasswordFallbackAuthenticator",
				"com.scylladb.auth.SaslauthdAuthenticator",
				"com.scylladb.auth.TransitionalAuthenticator",
				"com.datastax.bdp.cassandra.auth.DseAuthenticator",
				"com.instaclustr.cassandra.auth.SharedSecretAuthenticator",
				"com.amazon.helenus.auth.HelenusAuthenticator",
			},
		}
	}
	if c.TLS != nil {
		config, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		cluster.SslOpts = &gocql.SslOptions{Config: config, EnableHostVerification: true}
	}
	return cluster, nil
}

func (t *TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if len(t.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, fmt.Errorf("read CA certificate: no PEM certificate in it")
		}
	}
	if len(t.Cert) > 0 || len(t.Key) > 0 {
		pair, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// silent drops the driver's log lines: what matters in them comes back as errors.
type silent struct{}

// Print drops a line.
func (silent) Print(...any) {}

// Printf drops a line.
func (silent) Printf(string, ...any) {}

// Println drops a line.
func (silent) Println(...any) {}
