// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package cassandra starts real Apache Cassandra nodes for tests: one or two
// of them, with or without authentication, TLS and guardrails. A node never
// outlives the process that started it, and its files go with it.
//
//	cluster, err := cassandra.Start(ctx, cassandra.Options{})
//	defer cluster.Close()
//	session, err := cluster.Session()
//
// The jars come from build.sh; a JDK 17 and Maven must be on the machine.
// HOLDFAST_TEST_CASSANDRA=host:port makes Start return a server that runs
// already, when the options ask for nothing but one plain node.
package cassandra

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"
)

// The superuser that Cassandra creates when authentication is on.
const (
	SuperuserName     = "cassandra"
	SuperuserPassword = "cassandra"
)

// answerTimeout bounds the wait for a server that runs already.
const answerTimeout = 30 * time.Second

// Options say what to start. The zero value is one plain node.
type Options struct {
	// Nodes is 1 (the default) or 2. The second listens on 127.0.0.2, on the
	// same port as the first on 127.0.0.1.
	Nodes int
	// Authentication asks for a password at log-in and checks permissions.
	Authentication bool
	// TLS, if set, makes clients use TLS.
	TLS *TLS
	// Guardrails are settings of cassandra.yaml such as
	// "drop_truncate_table_enabled": false. Superusers are exempt from them, and
	// without authentication everybody counts as one: set Authentication too.
	Guardrails map[string]any
	// Config overrides any other setting of cassandra.yaml.
	Config map[string]any
	// HeapMiB is the heap of a node, 512 by default; about as much again is
	// resident outside it.
	HeapMiB int
}

func (o Options) plain() bool {
	return o.Nodes <= 1 && !o.Authentication && o.TLS == nil && len(o.Guardrails) == 0 && len(o.Config) == 0 && o.HeapMiB == 0
}

// Cluster is one or two running nodes.
type Cluster struct {
	// Hosts are the addresses for clients, host:port.
	Hosts []string
	// Nodes is empty when the server is one that ran already.
	Nodes []*Node
	// Username and Password are the superuser's, PasswordFile holds the password
	// too; empty without authentication.
	Username, Password, PasswordFile string
	// CAFile verifies the servers. ClientCertFile and ClientKeyFile are a
	// certificate that they accept. Empty without TLS.
	CAFile, ClientCertFile, ClientKeyFile string
	// ServerName is what the servers' certificates are made out to, when that
	// is not their address.
	ServerName string

	folder *folder

	mu       sync.Mutex
	sessions []*gocql.Session
}

// Start brings up the cluster and returns when every node answers queries and,
// with two nodes, each sees the other. The context bounds the start alone.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	if options.Nodes > 2 {
		return nil, fmt.Errorf("start Cassandra: %d nodes asked for; use 1 or 2", options.Nodes)
	}
	if address := os.Getenv("HOLDFAST_TEST_CASSANDRA"); address != "" && options.plain() {
		cluster := &Cluster{Hosts: []string{address}}
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		if err := cluster.awaitAnswer(ctx, address); err != nil {
			return nil, fmt.Errorf("connect to HOLDFAST_TEST_CASSANDRA=%s: %w", address, err)
		}
		return cluster, nil
	}
	jars, err := artifacts(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := newFolder()
	if err != nil {
		return nil, err
	}
	cluster := &Cluster{folder: dir}
	if err := cluster.start(ctx, jars, options); err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return cluster, nil
}

func (c *Cluster) start(ctx context.Context, jars string, options Options) error {
	options.Nodes = max(options.Nodes, 1)
	if options.HeapMiB == 0 {
		options.HeapMiB = 512
	}
	if options.Authentication {
		c.Username, c.Password = SuperuserName, SuperuserPassword
		var err error
		if c.PasswordFile, err = c.WritePassword(c.Username, c.Password); err != nil {
			return err
		}
	}
	if err := c.certify(options); err != nil {
		return err
	}
	ports, err := freePorts(options.Nodes)
	if err != nil {
		return err
	}
	for i := range options.Nodes {
		address := fmt.Sprintf("127.0.0.%d", i+1)
		node := &Node{
			Host: net.JoinHostPort(address, strconv.Itoa(ports.native)), address: address, cluster: c,
			dir: filepath.Join(c.folder.path, "node"+strconv.Itoa(i+1)), jars: jars, heapMiB: options.HeapMiB,
		}
		if err := node.configure(options, ports); err != nil {
			return err
		}
		c.Hosts = append(c.Hosts, node.Host)
		c.Nodes = append(c.Nodes, node)
		// One after the other: a node joins through a seed that runs.
		if err := node.launch(ctx); err != nil {
			return err
		}
	}
	return c.awaitUp(ctx)
}

// WritePassword writes a role's password into a file that goes with the cluster.
func (c *Cluster) WritePassword(role, password string) (string, error) {
	name := filepath.Join(c.folder.path, "password-"+role)
	if err := os.WriteFile(name, []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the password of %s: %w", role, err)
	}
	return name, nil
}

// Flags are holdfast's flags for a connection to the cluster as its superuser.
func (c *Cluster) Flags() []string {
	flags := []string{"--hosts", strings.Join(c.Hosts, ",")}
	for _, f := range [][2]string{
		{"--username", c.Username},
		{"--password-file", c.PasswordFile},
		{"--tls-ca", c.CAFile},
		{"--tls-cert", c.ClientCertFile},
		{"--tls-key", c.ClientKeyFile},
		{"--tls-server-name", c.ServerName},
	} {
		if f[1] != "" {
			flags = append(flags, f[0], f[1])
		}
	}
	return flags
}

// Close stops every node at once, ends all sessions and removes all files. A
// server that ran already is left as it is.
func (c *Cluster) Close() error {
	c.mu.Lock()
	sessions := c.sessions
	c.sessions = nil
	c.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	for _, n := range c.Nodes {
		n.Kill()
	}
	if c.folder == nil {
		return nil
	}
	return c.folder.remove()
}
