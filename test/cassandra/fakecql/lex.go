// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"fmt"
	"regexp"
	"strings"
)

// word is one token of a statement. Names that were not quoted are lower case.
type word struct {
	text   string
	quoted byte // ' or ", or 0
}

var lexer = regexp.MustCompile(`(?s)\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|0x[0-9a-fA-F]*|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|-?[0-9][0-9.]*s?|[A-Za-z_][A-Za-z0-9_]*|<=|>=|[^\s]`)

func lex(statement string) []word {
	var words []word
	for _, t := range lexer.FindAllString(statement, -1) {
		switch {
		case strings.TrimSpace(t) == "":
		case t[0] == '\'' || t[0] == '"':
			quote := t[:1]
			words = append(words, word{strings.ReplaceAll(t[1:len(t)-1], quote+quote, quote), t[0]})
		default:
			words = append(words, word{strings.ToLower(t), 0})
		}
	}
	return words
}

// parser reads a statement's words. The first thing that does not fit stays in
// err, and everything after it reads as nothing.
type parser struct {
	words []word
	next  int
	binds int
	err   *Error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &Error{Code: CodeSyntax, Message: fmt.Sprintf(format, args...)}
	}
}

func (p *parser) peek() word {
	if p.next < len(p.words) && p.err == nil {
		return p.words[p.next]
	}
	return word{}
}

func (p *parser) pop() word {
	w := p.peek()
	if w == (word{}) {
		p.fail("the statement ends early")
	}
	p.next++
	return w
}

// accept takes the words if all of them come next.
func (p *parser) accept(words ...string) bool {
	for i, text := range words {
		if p.next+i >= len(p.words) || p.err != nil || p.words[p.next+i] != (word{text: text}) {
			return false
		}
	}
	p.next += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	if !p.accept(words...) {
		p.fail("line 1: no viable alternative at input '%s' (expecting %s)", p.peek().text, strings.Join(words, " "))
	}
}

// table reads a table's name with its keyspace.
func (p *parser) table() tableName {
	first := p.pop().text
	if p.accept(".") {
		return tableName{first, p.pop().text}
	}
	return tableName{"", first}
}

// list reads items between brackets.
func (p *parser) list(item func()) {
	p.expect("(")
	for p.err == nil {
		item()
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
}

func (p *parser) names() []string {
	var names []string
	p.list(func() { names = append(names, p.pop().text) })
	return names
}

// term is a value in a statement: bound, or written out.
type term struct {
	bind    int // its number, or -1
	literal string
	null    bool
}

func (p *parser) term() term {
	w := p.pop()
	switch w {
	case word{text: "?"}:
		p.binds++
		return term{bind: p.binds - 1}
	case word{text: "null"}:
		return term{bind: -1, null: true}
	case word{text: "bigintasblob"}:
		p.expect("(")
		inner := p.pop().text
		p.expect(")")
		value, err := cqlType("bigint").encode(inner)
		if err != nil {
			p.fail("%q is no bigint", inner)
		}
		return term{bind: -1, literal: fmt.Sprintf("0x%x", value)}
	default:
		return term{bind: -1, literal: w.text}
	}
}

// typ reads a type, with what is in its brackets. A user type loses its keyspace.
func (p *parser) typ() cqlType {
	var b strings.Builder
	name := p.pop().text
	if p.accept(".") {
		name = p.pop().text
	}
	if name == "varchar" {
		name = "text" // that is what the schema tells
	}
	b.WriteString(name)
	if p.accept("<") {
		b.WriteString("<" + string(p.typ()))
		for p.accept(",") {
			b.WriteString(", " + string(p.typ()))
		}
		p.expect(">")
		b.WriteString(">")
	}
	return cqlType(b.String())
}
