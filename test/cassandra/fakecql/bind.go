// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"slices"
	"strings"
)

// prepared is a statement held against the schema: what its bound values are
// called and of what type, and which of them make the partition key.
type prepared struct {
	statement
	text  string
	binds []columnDef
	keys  []int
}

// resolve holds a statement against a table; t is nil where none is needed.
func (s *Server) resolve(text string, st statement, t *table) (prepared, *Error) {
	p := prepared{statement: st, text: text, binds: make([]columnDef, st.binds)}
	p.place(st.timestamp, columnDef{"[timestamp]", "bigint"})
	p.place(st.expiry, columnDef{"[ttl]", "int"})
	p.place(st.limit, columnDef{"[limit]", "int"})
	p.place(st.perPartition, columnDef{"[per_partition_limit]", "int"})
	if st.verb != doSelect && st.verb != doInsert && st.verb != doDelete {
		return p, nil
	}
	type use struct {
		name  string
		bound *term
	}
	var uses []use
	for i, name := range st.columns {
		uses = append(uses, use{name, &st.values[i]})
	}
	for i, r := range st.where {
		if r.token {
			p.place(&st.where[i].term, columnDef{"partition key token", "bigint"})
			continue
		}
		uses = append(uses, use{r.columns[0], &st.where[i].term})
	}
	for _, a := range st.asked {
		for _, name := range a.columns {
			uses = append(uses, use{name, nil})
		}
	}
	for _, u := range uses {
		c, known := t.column(u.name)
		if !known {
			return p, invalid("Undefined column name %s in table %s.%s", u.name, t.keyspace.name, t.name)
		}
		p.place(u.bound, c.columnDef)
	}
	for _, name := range t.partition {
		i := slices.IndexFunc(uses, func(u use) bool { return u.name == name && u.bound != nil && u.bound.bind >= 0 })
		if i < 0 {
			p.keys = nil
			break
		}
		p.keys = append(p.keys, uses[i].bound.bind)
	}
	if st.verb == doSelect {
		return p, s.checkSelect(st, t)
	}
	return p, nil
}

// place notes what a bound value is; a term may be missing or written out.
func (p *prepared) place(bound *term, what columnDef) {
	if bound != nil && bound.bind >= 0 {
		p.binds[bound.bind] = what
	}
}

// checkSelect refuses what the real servers refuse.
func (s *Server) checkSelect(st statement, t *table) *Error {
	if st.scylla && !s.options.Scylla {
		return &Error{Code: CodeSyntax, Message: "line 1: mismatched input 'BYPASS' expecting EOF"}
	}
	restricted := map[string]bool{}
	for _, r := range st.where {
		if r.token && !slices.Equal(r.columns, t.partition) {
			return invalid("The token function arguments must be in the partition key order: %s", strings.Join(t.partition, ", "))
		}
		if !r.token {
			restricted[r.columns[0]] = true
		}
	}
	tokens := slices.ContainsFunc(st.where, func(r relation) bool { return r.token })
	if s.options.Scylla && tokens && len(restricted) > 0 {
		return invalid("Columns \"%s\" cannot be restricted by both a normal relation and a token relation", strings.Join(t.partition, ", "))
	}
	if st.distinct {
		if err := checkDistinct(st, t); err != nil {
			return err
		}
	}
	whole := !slices.ContainsFunc(t.partition, func(name string) bool { return !restricted[name] })
	needsFilter := slices.ContainsFunc(st.where, func(r relation) bool {
		if r.token {
			return false
		}
		c, _ := t.column(r.columns[0])
		return !whole || c.kind == "regular"
	})
	if needsFilter && !st.filtering {
		return invalid("Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING")
	}
	return nil
}

func checkDistinct(st statement, t *table) *Error {
	if st.perPartition != nil {
		return invalid("PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries")
	}
	var named []string
	for _, a := range st.asked {
		for _, name := range a.columns {
			if !slices.Contains(t.partition, name) {
				return invalid("SELECT DISTINCT queries must only request partition key columns and/or static columns (not %s)", name)
			}
			named = append(named, name)
		}
	}
	for _, name := range t.partition {
		if !slices.Contains(named, name) {
			return invalid("SELECT DISTINCT queries must request all the partition key columns (missing %s)", name)
		}
	}
	for _, r := range st.where {
		if !r.token && !slices.Contains(t.partition, r.columns[0]) {
			return invalid("Cannot restrict clustering columns when selecting distinct rows")
		}
	}
	return nil
}

// value is what a term stands for.
func (p prepared) value(t term, typ cqlType, bound [][]byte) ([]byte, *Error) {
	switch {
	case t.bind >= 0:
		return bound[t.bind], nil
	case t.null:
		return nil, nil
	}
	value, err := typ.encode(t.literal)
	if err != nil {
		return nil, invalid("Invalid constant (%s) of type %s", t.literal, typ)
	}
	return value, nil
}

// stamp is the write time of a statement: its own, the client's, or the server's.
func (p prepared) stamp(bound [][]byte, client *int64, server int64) int64 {
	switch {
	case p.timestamp != nil:
		return p.timestamp.number(bound)
	case client != nil:
		return *client
	default:
		return server
	}
}

// change runs an INSERT or a DELETE.
func (s *Server) change(t *table, p prepared, with parameters, at int64) *Error {
	stamp := p.stamp(with.values, with.timestamp, at)
	if p.verb == doInsert {
		return s.insert(t, p, with, stamp)
	}
	values := map[string][]byte{}
	for _, r := range p.where {
		c, _ := t.column(r.columns[0])
		value, err := p.value(r.term, c.typ, with.values)
		if err != nil {
			return err
		}
		if r.token || r.operator != "=" || c.kind == "regular" {
			return invalid("DELETE by %s %s is more than this server knows", r.columns[0], r.operator)
		}
		values[r.columns[0]] = value
	}
	var clustering [][]byte
	for _, name := range t.clustering {
		if values[name] == nil {
			break
		}
		clustering = append(clustering, values[name])
	}
	key := pick(values, t.partition)
	if slices.ContainsFunc(key, func(v []byte) bool { return v == nil }) || len(key)+len(clustering) != len(values) {
		return invalid("Some partition key parts are missing")
	}
	t.remove(key, clustering, stamp)
	return nil
}

func (s *Server) insert(t *table, p prepared, with parameters, stamp int64) *Error {
	values := map[string][]byte{}
	for i, name := range p.columns {
		c, _ := t.column(name)
		value, err := p.value(p.values[i], c.typ, with.values)
		if err != nil {
			return err
		}
		if !isUnset(value) {
			values[name] = c.typ.kept(value)
		}
	}
	for _, name := range append(slices.Clone(t.partition), t.clustering...) {
		if values[name] == nil {
			return invalid("Some partition key parts are missing: %s", name)
		}
	}
	var expires int64
	if seconds := p.expiry.number(with.values); seconds > 0 {
		expires = s.now().Unix() + seconds
	}
	t.insert(values, stamp, expires)
	return nil
}
