// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

// execute runs one statement and gives the body of the answer.
func (c *client) execute(text string, with parameters, f *Injection) ([]byte, *Error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	p, t, err := c.ready(text)
	if err != nil {
		return nil, err
	}
	if len(with.values) != len(p.binds) {
		return nil, invalid("Invalid amount of bind variables: %d instead of %d", len(with.values), len(p.binds))
	}
	var w writer
	switch p.verb {
	case doSelect:
		return s.selectPage(t, p, with, f)
	case doInsert, doDelete:
		if err := s.change(t, p, with, s.writeTime()); err != nil {
			return nil, err
		}
		w.int(resultVoid)
	case doUse:
		w.int(resultKeyspace)
		w.string(p.table.keyspace)
	default:
		change, err := s.define(p.statement)
		if err != nil {
			return nil, err
		}
		if change.change == "" {
			w.int(resultVoid)
			break
		}
		w.int(resultSchemaChange)
		w.string(change.change)
		w.string(change.target)
		w.string(change.keyspace)
		if change.target != "KEYSPACE" {
			w.string(change.name)
		}
	}
	return w.b, nil
}

// selectPage answers with one page. Its paging state begins with the number of
// empty pages that are to come before the next rows.
func (s *Server) selectPage(t *table, p prepared, with parameters, f *Injection) ([]byte, *Error) {
	empty := f.EmptyPages
	if len(with.paging) > 0 {
		empty, with.paging = int(with.paging[0]), with.paging[1:]
	}
	if f.MaxRows > 0 && (with.pageSize <= 0 || with.pageSize > f.MaxRows) {
		with.pageSize = f.MaxRows
	}
	answered := page{columns: p.answer(t)}
	var more []byte
	if empty > 0 {
		more = append([]byte{byte(empty - 1)}, with.paging...) //nolint:gosec // few of them
	} else {
		var err *Error
		if answered, err = s.query(t, p, with); err != nil {
			return nil, err
		}
		if answered.more != nil {
			more = append([]byte{byte(f.EmptyPages)}, answered.more.encode()...) //nolint:gosec // few of them
		}
	}
	flags := 0
	if with.skipMetadata {
		flags = rowsNoMetadata
	}
	var w writer
	w.int(resultRows)
	writeColumns(&w, answered.columns, t, flags, more)
	w.int(len(answered.rows))
	for _, row := range answered.rows {
		for _, value := range row {
			w.bytes(value)
		}
	}
	return w.b, nil
}

// one is a statement of a batch.
type one struct {
	text string
	with parameters
}

// statements reads a batch: all its statements get its consistency and the
// client's timestamp.
func (c *client) statements(r *reader) []one {
	s := c.server
	r.byte() // logged or not is the same here
	var all []one
	for range r.short() {
		var o one
		if r.byte() == 0 {
			o.text = string(r.take(r.int()))
		} else {
			s.mu.Lock()
			o.text = s.statements[string(r.short8())]
			s.mu.Unlock()
		}
		for range r.short() {
			o.with.values = append(o.with.values, r.value())
		}
		all = append(all, o)
	}
	common := parameters{consistency: r.short()}
	flags := r.byte()
	if flags&withSerial != 0 {
		r.short()
	}
	if flags&withTimestamp != 0 {
		at := r.long()
		common.timestamp = &at
	}
	for i := range all {
		all[i].with.consistency, all[i].with.timestamp = common.consistency, common.timestamp
	}
	return all
}

// batch runs several statements, all of them with one write time.
func (c *client) batch(stream uint16, r *reader) {
	s := c.server
	all := c.statements(r)
	s.mu.Lock()
	s.batches++
	number := s.batches
	s.mu.Unlock()
	fault, consistency := &Injection{}, 0
	var ends []func()
	for _, o := range all {
		consistency = o.with.consistency
		request, end := c.record(o.text, o.with, number)
		ends = append(ends, end)
		if f := s.fault(*request); f != nil {
			fault = f
			c.suffer(f, *request)
		}
	}
	var err *Error
	if fault.Error == nil && !fault.Drop || fault.Execute {
		err = c.executeAll(all)
	}
	for _, end := range ends {
		end()
	}
	var w writer
	w.int(resultVoid)
	switch {
	case fault.Drop:
		_ = c.conn.Close() // that is the fault
	case fault.Error != nil:
		c.reply(stream, nil, fault.Error, consistency)
	default:
		c.reply(stream, w.b, err, consistency)
	}
}

// executeAll holds all statements against the schema before it runs the first.
func (c *client) executeAll(all []one) *Error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := s.writeTime()
	for run := range 2 {
		for _, o := range all {
			p, t, err := c.ready(o.text)
			if err != nil {
				return err
			}
			if p.verb != doInsert && p.verb != doDelete || len(o.with.values) != len(p.binds) {
				return invalid("Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed.")
			}
			if run == 0 {
				continue
			}
			if err := s.change(t, p, o.with, stamp); err != nil {
				return err
			}
		}
	}
	return nil
}
