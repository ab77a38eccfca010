// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"strconv"
	"strings"
)

type verb int

const (
	doSelect verb = iota
	doInsert
	doDelete
	doDropTable
	doDropKeyspace
	doCreateTable
	doCreateKeyspace
	doCreateType
	doAlterTable
	doUse
)

type tableName struct{ keyspace, table string }

// statement is a statement, read but not yet held against a schema.
type statement struct {
	verb      verb
	table     tableName
	condition bool // IF EXISTS or IF NOT EXISTS
	binds     int

	distinct          bool
	asked             []asked
	where             []relation
	perPartition      *term
	limit             *term
	filtering         bool
	scylla            bool // it uses what only ScyllaDB understands
	columns           []string
	values            []term
	timestamp, expiry *term
	defined           []columnDef
	partition, order  []string
	replication       string
}

// asked is one thing that a SELECT asks for.
type asked struct {
	function string // "", *, writetime, ttl, token, count, now
	columns  []string
}

func (a asked) name() string {
	switch a.function {
	case "":
		return a.columns[0]
	case "count":
		return "count"
	case "now", "token":
		return "system." + a.function + "(" + strings.Join(a.columns, ", ") + ")"
	default:
		return a.function + "(" + a.columns[0] + ")"
	}
}

type relation struct {
	columns  []string
	token    bool
	operator string
	term     term
}

type columnDef struct {
	name string
	typ  cqlType
}

func parse(text string) (statement, *Error) {
	p := &parser{words: lex(text)}
	s := statement{}
	switch {
	case p.accept("select"):
		p.selection(&s)
	case p.accept("insert", "into"):
		p.insertion(&s)
	case p.accept("delete", "from"):
		s.verb, s.table = doDelete, p.table()
		p.using(&s)
		p.expect("where")
		p.relations(&s)
	case p.accept("drop", "table"):
		s.verb, s.condition = doDropTable, p.accept("if", "exists")
		s.table = p.table()
	case p.accept("drop", "keyspace"):
		s.verb, s.table.keyspace = doDropKeyspace, p.pop().text
	case p.accept("create"):
		p.creation(&s)
	case p.accept("alter", "table"):
		p.alteration(&s)
	case p.accept("use"):
		s.verb, s.table.keyspace = doUse, p.pop().text
	default:
		p.fail("line 1:0 no viable alternative at input '%s'", p.peek().text)
	}
	p.accept(";")
	if p.err == nil && p.next < len(p.words) {
		p.fail("line 1: extraneous input '%s'", p.peek().text)
	}
	s.binds = p.binds
	return s, p.err
}

func (p *parser) selection(s *statement) {
	s.verb, s.distinct = doSelect, p.accept("distinct")
	for p.err == nil {
		s.asked = append(s.asked, p.asked())
		if !p.accept(",") {
			break
		}
	}
	p.expect("from")
	s.table = p.table()
	if p.accept("where") {
		p.relations(s)
	}
	if p.accept("per", "partition", "limit") {
		t := p.term()
		s.perPartition = &t
	}
	if p.accept("limit") {
		t := p.term()
		s.limit = &t
	}
	s.filtering = p.accept("allow", "filtering")
	if p.accept("bypass", "cache") {
		s.scylla = true
	}
	if p.accept("using", "timeout") {
		s.scylla = true
		p.pop()
	}
}

func (p *parser) asked() asked {
	w := p.pop()
	if w.quoted == 0 && p.accept("(") {
		a := asked{function: w.text}
		for p.err == nil && !p.accept(")") {
			if c := p.pop().text; c != "," && c != "*" {
				a.columns = append(a.columns, c)
			}
		}
		switch a.function {
		case "writetime", "ttl", "token", "count", "now":
		default:
			p.fail("Unknown function '%s'", a.function)
		}
		return a
	}
	if w == (word{text: "*"}) {
		return asked{function: "*"}
	}
	return asked{columns: []string{w.text}}
}

func (p *parser) relations(s *statement) {
	for p.err == nil {
		r := relation{}
		w := p.pop()
		if w == (word{text: "token"}) {
			r.token, r.columns = true, p.names()
		} else {
			r.columns = []string{w.text}
		}
		r.operator = p.pop().text
		switch r.operator {
		case "=", "<", ">", "<=", ">=":
		default:
			p.fail("the operator %q is more than this server knows", r.operator)
		}
		r.term = p.term()
		s.where = append(s.where, r)
		if !p.accept("and") {
			return
		}
	}
}

// using reads USING TIMESTAMP and TTL, in any order.
func (p *parser) using(s *statement) {
	if !p.accept("using") {
		return
	}
	for p.err == nil {
		switch {
		case p.accept("timestamp"):
			t := p.term()
			s.timestamp = &t
		case p.accept("ttl"):
			t := p.term()
			s.expiry = &t
		default:
			p.fail("expecting TIMESTAMP or TTL after USING")
		}
		if !p.accept("and") {
			return
		}
	}
}

func (p *parser) insertion(s *statement) {
	s.verb, s.table = doInsert, p.table()
	s.columns = p.names()
	p.expect("values")
	p.list(func() { s.values = append(s.values, p.term()) })
	if len(s.values) != len(s.columns) {
		p.fail("Unmatched column names/values")
	}
	p.using(s)
}

func (p *parser) creation(s *statement) {
	switch {
	case p.accept("keyspace"):
		s.verb, s.condition = doCreateKeyspace, p.accept("if", "not", "exists")
		s.table.keyspace = p.pop().text
		for p.peek() != (word{}) && p.peek().text != ";" {
			if w := p.pop(); w == (word{"replication_factor", '\''}) {
				p.expect(":")
				s.replication = p.pop().text
			}
		}
	case p.accept("type"):
		s.verb, s.table = doCreateType, p.table()
		p.list(func() { s.defined = append(s.defined, columnDef{p.pop().text, p.typ()}) })
	default:
		p.expect("table")
		s.verb, s.condition = doCreateTable, p.accept("if", "not", "exists")
		s.table = p.table()
		p.list(func() { p.definition(s) })
		if p.accept("with") { // options change nothing here
			p.next = len(p.words)
		}
	}
}

// definition is one line of CREATE TABLE: a column, or the primary key.
func (p *parser) definition(s *statement) {
	if p.accept("primary", "key") {
		p.expect("(")
		if p.peek() == (word{text: "("}) {
			s.partition = p.names()
		} else {
			s.partition = []string{p.pop().text}
		}
		for p.accept(",") {
			s.order = append(s.order, p.pop().text)
		}
		p.expect(")")
		return
	}
	c := columnDef{p.pop().text, p.typ()}
	s.defined = append(s.defined, c)
	if p.accept("primary", "key") {
		s.partition = []string{c.name}
	}
}

func (p *parser) alteration(s *statement) {
	s.verb, s.table = doAlterTable, p.table()
	p.expect("add")
	add := func() { s.defined = append(s.defined, columnDef{p.pop().text, p.typ()}) }
	if p.peek() == (word{text: "("}) {
		p.list(add)
		return
	}
	add()
}

// number reads a term that must be a count, bound or written out.
func (t *term) number(bound [][]byte) int64 {
	if t == nil {
		return 0
	}
	if t.bind >= 0 {
		return toLong(bound[t.bind])
	}
	n, _ := strconv.ParseInt(t.literal, 10, 64)
	return n
}
