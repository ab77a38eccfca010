// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"crypto/md5" //nolint:gosec // the protocol's ids are no secret
	"net"
	"sync"
	"time"

	"github.com/gocql/gocql"
)

// client is one connection to one node.
type client struct {
	server *Server
	node   *node
	conn   net.Conn
	mu     sync.Mutex // of writes
}

// serve answers the requests of one connection, each on its own.
func (s *Server) serve(n *node, conn net.Conn) {
	c := &client{server: s, node: n, conn: conn}
	var running sync.WaitGroup
	defer running.Wait()
	defer conn.Close() //nolint:errcheck // the client may have closed it first
	for {
		f, err := readFrame(conn)
		if err != nil {
			if err == errVersion { //nolint:errorlint // it is returned as it is
				c.answer(frame{f.stream, opError, (&Error{Code: codeProtocol, Message: "Invalid or unsupported protocol version"}).body(0)})
			}
			return
		}
		running.Go(func() { c.handle(f) })
	}
}

// answer writes a frame; a client that has gone reads nothing.
func (c *client) answer(f frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.conn.Write(f.bytes())
}

func (c *client) handle(f frame) {
	r := &reader{b: f.body}
	var w writer
	switch f.opcode {
	case opStartup, opRegister:
		c.answer(frame{f.stream, opReady, nil})
	case opOptions:
		w.short(1)
		w.string("CQL_VERSION")
		w.short(1)
		w.string("3.4.7")
		c.answer(frame{f.stream, opSupported, w.b})
	case opPrepare:
		text := string(r.take(r.int()))
		body, err := c.prepare(text)
		c.reply(f.stream, body, err, 0)
	case opQuery:
		text := string(r.take(r.int()))
		c.run(f.stream, text, r.parameters())
	case opExecute:
		id := r.short8()
		with := r.parameters()
		c.server.mu.Lock()
		text, known := c.server.statements[string(id)]
		c.server.mu.Unlock()
		if !known {
			c.reply(f.stream, nil, &Error{Code: codeUnprepared, Message: "Prepared query not found", id: id}, 0)
			return
		}
		c.run(f.stream, text, with)
	case opBatch:
		c.batch(f.stream, r)
	default:
		c.reply(f.stream, nil, &Error{Code: codeProtocol, Message: "Unknown opcode"}, 0)
	}
}

func (c *client) reply(stream uint16, body []byte, err *Error, consistency int) {
	if err != nil {
		c.answer(frame{stream, opError, err.body(consistency)})
		return
	}
	c.answer(frame{stream, opResult, body})
}

// ready reads a statement and holds it against the schema. The caller holds the lock.
func (c *client) ready(text string) (prepared, *table, *Error) {
	st, err := parse(text)
	if err != nil {
		return prepared{}, nil, err
	}
	var t *table
	if st.verb == doSelect || st.verb == doInsert || st.verb == doDelete {
		if t, err = c.server.lookup(st.table, c.node.index); err != nil {
			return prepared{}, nil, err
		}
	}
	p, err := c.server.resolve(text, st, t)
	return p, t, err
}

func (c *client) prepare(text string) ([]byte, *Error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	p, t, err := c.ready(text)
	if err != nil {
		return nil, err
	}
	id := md5.Sum([]byte(text)) //nolint:gosec // see the import
	s.statements[string(id[:])] = text
	var w writer
	w.int(resultPrepared)
	w.shortBytes(id[:])
	w.int(rowsGlobalSpec)
	w.int(len(p.binds))
	w.int(len(p.keys))
	for _, at := range p.keys {
		w.short(at)
	}
	w.string(p.table.keyspace)
	w.string(p.table.table)
	for _, b := range p.binds {
		w.string(b.name)
		b.typ.option(&w, keyspaceOf(t))
	}
	if p.verb != doSelect {
		w.int(rowsNoMetadata)
		w.int(0)
		return w.b, nil
	}
	writeColumns(&w, p.answer(t), t, 0, nil)
	return w.b, nil
}

func keyspaceOf(t *table) *keyspace {
	if t == nil {
		return newKeyspace("", "1")
	}
	return t.keyspace
}

// writeColumns writes what an answer's columns are.
func writeColumns(w *writer, columns []columnDef, t *table, flags int, more []byte) {
	if more != nil {
		flags |= rowsHaveMore
	}
	if flags&rowsNoMetadata == 0 {
		flags |= rowsGlobalSpec
	}
	w.int(flags)
	w.int(len(columns))
	if more != nil {
		w.bytes(more)
	}
	if flags&rowsNoMetadata != 0 {
		return
	}
	w.string(t.keyspace.name)
	w.string(t.name)
	for _, c := range columns {
		w.string(c.name)
		c.typ.option(w, t.keyspace)
	}
}

// record keeps a request, and gives back what ends it.
func (c *client) record(text string, with parameters, batch int) (*Request, func()) {
	s := c.server
	r := &Request{
		Node: c.node.index, Text: text, Values: with.values, Consistency: gocql.Consistency(with.consistency).String(), //nolint:gosec // a code
		PageSize: with.pageSize, Continued: with.paging != nil, ClientTimestamp: with.timestamp, Batch: batch, Started: time.Now(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, _, err := c.ready(text); err == nil {
		for _, b := range p.binds {
			r.Columns = append(r.Columns, b.name)
		}
	}
	s.requests = append(s.requests, r)
	return r, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.Ended = time.Now()
	}
}

// suffer lets a fault happen. It says if the connection is to be dropped, and
// what to answer instead of the result.
func (c *client) suffer(f *Injection, r Request) {
	if f.Do != nil {
		f.Do(r)
	}
	if f.Delay > 0 {
		wait := time.NewTimer(f.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-c.server.closed:
		}
	}
}

func (c *client) run(stream uint16, text string, with parameters) {
	r, end := c.record(text, with, 0)
	f := c.server.fault(*r)
	if f == nil {
		f = &Injection{}
	}
	c.suffer(f, *r)
	var body []byte
	var err *Error
	if f.Error == nil && !f.Drop || f.Execute {
		body, err = c.execute(text, with, f)
	}
	end()
	switch {
	case f.Drop:
		_ = c.conn.Close() // that is the fault
	case f.Error != nil:
		c.reply(stream, nil, f.Error, with.consistency)
	default:
		c.reply(stream, body, err, with.consistency)
	}
}
