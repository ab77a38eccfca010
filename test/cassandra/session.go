// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/gocql/gocql"
)

// readyKeyspace is replicated to both nodes of a cluster. Reading it at ALL
// tells that they see each other.
const readyKeyspace = "holdfast_ready"

// Session is a new session with the cluster as its superuser, at consistency
// ONE for one node and ALL for two. The server gives writes their timestamps.
// Close ends it.
func (c *Cluster) Session() (*gocql.Session, error) {
	return c.SessionAs(c.Username, c.Password)
}

// SessionAs is Session with another role.
func (c *Cluster) SessionAs(username, password string) (*gocql.Session, error) {
	session, err := c.connect(c.Hosts, username, password)
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", c.Hosts, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions = append(c.sessions, session)
	return session, nil
}

func (c *Cluster) connect(hosts []string, username, password string) (*gocql.Session, error) {
	config := gocql.NewCluster()
	for _, host := range hosts {
		address, port, err := net.SplitHostPort(host)
		if err != nil {
			return nil, err
		}
		if config.Port, err = strconv.Atoi(port); err != nil {
			return nil, err
		}
		config.Hosts = append(config.Hosts, address)
	}
	config.ProtoVersion = 4
	config.Consistency = gocql.One
	if len(hosts) > 1 {
		config.Consistency = gocql.All
	}
	config.Timeout = 30 * time.Second
	config.ConnectTimeout = 10 * time.Second
	config.NumConns = 2
	config.PageSize = 1000 // a guardrail on page sizes counts for the driver's own queries too
	config.DefaultTimestamp = false
	config.WriteCoalesceWaitTime = 0
	// A test reads errors, not what the driver says beside them.
	config.Logger = log.New(io.Discard, "", 0)
	if username != "" {
		config.Authenticator = gocql.PasswordAuthenticator{Username: username, Password: password}
	}
	if c.CAFile != "" {
		settings, err := c.clientTLS()
		if err != nil {
			return nil, err
		}
		config.SslOpts = &gocql.SslOptions{Config: settings, EnableHostVerification: true}
	}
	// A session that looked around would wait for the other node.
	config.DisableInitialHostLookup = len(hosts) == 1
	return config.CreateSession()
}

func (c *Cluster) clientTLS() (*tls.Config, error) {
	ca, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	settings := &tls.Config{RootCAs: roots, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.ClientCertFile != "" {
		own, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
		if err != nil {
			return nil, err
		}
		settings.Certificates = []tls.Certificate{own}
	}
	return settings, nil
}

// awaitAnswer returns when one address answers a query; right after a first
// start the superuser may be missing for a moment.
func (c *Cluster) awaitAnswer(ctx context.Context, host string) error {
	return poll(ctx, func() error {
		session, err := c.connect([]string{host}, c.Username, c.Password)
		if err != nil {
			return err
		}
		defer session.Close()
		var version string
		return session.Query("SELECT release_version FROM system.local WHERE key='local'").WithContext(ctx).Scan(&version)
	})
}

// awaitUp returns when every node can read from all nodes.
func (c *Cluster) awaitUp(ctx context.Context) error {
	if len(c.Nodes) < 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, node := range c.Nodes {
		if node.PID() == 0 {
			return nil // the caller keeps it down
		}
	}
	return poll(ctx, func() error {
		for _, host := range c.Hosts {
			if err := c.readAtAll(ctx, host); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cluster) readAtAll(ctx context.Context, host string) error {
	session, err := c.connect([]string{host}, c.Username, c.Password)
	if err != nil {
		return err
	}
	defer session.Close()
	var peers int
	if err := session.Query("SELECT count(*) FROM system.peers_v2").WithContext(ctx).Scan(&peers); err != nil {
		return err
	}
	if peers != len(c.Nodes)-1 {
		return fmt.Errorf("node %s knows %d of %d others", host, peers, len(c.Nodes)-1)
	}
	if host == c.Hosts[0] {
		for _, statement := range []string{
			"CREATE KEYSPACE IF NOT EXISTS " + readyKeyspace + " WITH replication = {'class':'SimpleStrategy','replication_factor':" + strconv.Itoa(len(c.Nodes)) + "}",
			"CREATE TABLE IF NOT EXISTS " + readyKeyspace + ".ready (id int PRIMARY KEY)",
		} {
			if err := session.Query(statement).WithContext(ctx).Exec(); err != nil {
				return err
			}
		}
	}
	if err := session.AwaitSchemaAgreement(ctx); err != nil {
		return err
	}
	var id int
	err = session.Query("SELECT id FROM " + readyKeyspace + ".ready WHERE id = 1").Consistency(gocql.All).WithContext(ctx).Scan(&id)
	if err == gocql.ErrNotFound { //nolint:errorlint // the driver returns it as it is
		return nil
	}
	return err
}

// poll tries until it works or the context ends, and then tells the last failure.
func poll(ctx context.Context, try func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
