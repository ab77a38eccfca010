// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package fakecql is a CQL server for what a real one cannot be told to do:
// time out, be overloaded, hang up, give empty pages, disagree about the schema.
// It speaks protocol 4, keeps its data in memory by token, honours write times
// as Cassandra does, and records every statement. It knows the statements that
// Holdfast and the package realm send, in the manner of Cassandra or of ScyllaDB.
package fakecql

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gocql/gocql"
)

// Options say what the server is like. The zero value is one Cassandra node.
type Options struct {
	// Nodes is 1 (the default) or 2: they share their data, and the second
	// listens on 127.0.0.2.
	Nodes int
	// Scylla makes it reject what ScyllaDB rejects and understand what only
	// ScyllaDB does.
	Scylla bool
	// TombstonePageLimit ends a page after that many partitions in a row that
	// are deleted, as ScyllaDB does after 10000: the page may be empty. 0 is never.
	TombstonePageLimit int
	// Clock is the servers' time, the real one by default.
	Clock func() time.Time
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	options Options
	port    int
	nodes   []*node
	closed  chan struct{}
	running sync.WaitGroup

	mu          sync.Mutex
	keyspaces   map[string]*keyspace
	statements  map[string]string // by prepared id
	faults      []*Injection
	requests    []*Request
	batches     int
	connections map[net.Conn]bool
	last        int64 // the write time given out last
}

type node struct {
	index    int
	address  string
	id       gocql.UUID
	schema   gocql.UUID
	tokens   []string
	listener net.Listener
}

// Start starts a server on loopback.
func Start(options Options) (*Server, error) {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	s := &Server{
		options: options, closed: make(chan struct{}), keyspaces: map[string]*keyspace{},
		statements: map[string]string{}, connections: map[net.Conn]bool{},
	}
	for i := range max(options.Nodes, 1) {
		s.nodes = append(s.nodes, &node{
			index: i, address: fmt.Sprintf("127.0.0.%d", i+1), id: gocql.UUID{0: 1, 15: byte(i)}, schema: gocql.UUID{0: 2},
			tokens: []string{strconv.FormatInt(int64(i)<<62-1<<61, 10)},
		})
	}
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("start the fake CQL server: %w", err)
	}
	for _, n := range s.nodes {
		s.running.Go(func() { s.accept(n) })
	}
	return s, nil
}

// listen finds a port that is free on every node's address.
func (s *Server) listen() error {
	var err error
	for range 50 {
		s.port = 0
		var listeners []net.Listener
		for _, n := range s.nodes {
			var l *net.TCPListener
			l, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(n.address), Port: s.port})
			if err != nil {
				break
			}
			s.port = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
			n.listener = l
			listeners = append(listeners, l)
		}
		if err == nil {
			return nil
		}
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// Hosts are the addresses of the nodes, host:port.
func (s *Server) Hosts() []string {
	var hosts []string
	for _, n := range s.nodes {
		hosts = append(hosts, net.JoinHostPort(n.address, strconv.Itoa(s.port)))
	}
	return hosts
}

// Close ends the server and all connections.
func (s *Server) Close() {
	close(s.closed)
	for _, n := range s.nodes {
		_ = n.listener.Close() // it was open until now
	}
	s.mu.Lock()
	for c := range s.connections {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// Disagree makes a node tell a schema version of its own, or the common one again.
func (s *Server) Disagree(node int, disagree bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[node].schema = gocql.UUID{0: 2}
	if disagree {
		s.nodes[node].schema = s.nodes[node].id // no other node tells that
	}
}

// Tables are the tables of a keyspace.
func (s *Server) Tables(keyspace string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	if k := s.keyspaces[keyspace]; k != nil {
		for name := range k.tables {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Server) now() time.Time { return s.options.Clock() }

// writeTime is the next write time in microseconds: no two are the same.
func (s *Server) writeTime() int64 {
	s.last = max(s.last+1, s.now().UnixMicro())
	return s.last
}

func (s *Server) accept(n *node) {
	for {
		c, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		s.connections[c] = true
		s.mu.Unlock()
		s.running.Go(func() {
			s.serve(n, c)
			s.mu.Lock()
			delete(s.connections, c)
			s.mu.Unlock()
		})
	}
}

// lookup finds a table, of the system or of a keyspace.
func (s *Server) lookup(name tableName, node int) (*table, *Error) {
	if name.keyspace == "system" || name.keyspace == "system_schema" {
		if t := s.system(name, node); t != nil {
			return t, nil
		}
		return nil, invalid("unconfigured table %s", name.table)
	}
	k := s.keyspaces[name.keyspace]
	if k == nil {
		return nil, invalid("keyspace %s does not exist", name.keyspace)
	}
	t := k.tables[name.table]
	if t == nil {
		return nil, invalid("table %s does not exist", name.table)
	}
	return t, nil
}
