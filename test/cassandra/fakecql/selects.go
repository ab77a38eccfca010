// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"

	"github.com/gocql/gocql"
)

// scan reads one page.
type scan struct {
	server *Server
	table  *table
	prepared
	bound [][]byte
	now   int64
	rows  int // of a page
	page  page
	at    position
	dead  int // partitions without a row, in this page
}

func (s *Server) query(t *table, p prepared, with parameters) (page, *Error) {
	q := scan{server: s, table: t, prepared: p, bound: with.values, now: s.now().Unix(), rows: with.pageSize}
	q.page.columns = q.columns()
	if q.rows <= 0 {
		q.rows = math.MaxInt32
	}
	if p.asked[0].function == "count" {
		q.rows = math.MaxInt32
	}
	after := decodePosition(with.paging)
	if after != nil {
		q.at = *after
	}
	if err := q.run(after); err != nil {
		return page{}, err
	}
	if p.asked[0].function == "count" {
		q.page.rows = [][][]byte{{long(int64(len(q.page.rows)))}}
	}
	return q.page, nil
}

func (q *scan) run(after *position) *Error {
	candidates, err := q.candidates(after)
	if err != nil {
		return err
	}
	for _, p := range candidates {
		if after != nil && (p.token < after.token || p.token == after.token && (p.raw < after.raw || p.raw == after.raw && !after.inside)) {
			continue
		}
		resumed := after != nil && p.token == after.token && p.raw == after.raw
		if !resumed {
			q.at.ofThere, q.at.order = 0, ""
		}
		done, err := q.partition(p, resumed)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// candidates are the partitions that can have rows to give, in token order.
func (q *scan) candidates(after *position) ([]*partition, *Error) {
	low, values := int64(math.MinInt64), map[string][]byte{}
	for _, r := range q.where {
		typ := cqlType("bigint")
		if !r.token {
			c, _ := q.table.column(r.columns[0])
			typ = c.typ
		}
		value, err := q.value(r.term, typ, q.bound)
		if err != nil {
			return nil, err
		}
		switch {
		case !r.token && r.operator == "=":
			values[r.columns[0]] = value
		case r.token && strings.HasPrefix(r.operator, ">"):
			low = max(low, toLong(value))
		}
	}
	key := pick(values, q.table.partition)
	for _, v := range key {
		if v == nil {
			if after != nil {
				low = max(low, after.token)
			}
			return q.table.from(low), nil
		}
	}
	if p := q.table.byKey[string(partitionKey(key))]; p != nil {
		return []*partition{p}, nil
	}
	return nil, nil
}

// partition gives the rows of one partition; done says that the page ends.
func (q *scan) partition(p *partition, resumed bool) (done bool, err *Error) {
	if inside, err := q.tokensFit(p); err != nil || !inside {
		return false, err
	}
	rows := p.live(q.now)
	if len(rows) == 0 {
		q.dead++
		q.at.token, q.at.raw, q.at.inside = p.token, p.raw, false
		if limit := q.server.options.TombstonePageLimit; limit > 0 && q.dead >= limit {
			q.cut()
			return true, nil
		}
		return false, nil
	}
	per := q.perPartition.number(q.bound)
	if q.distinct {
		per = 1
	}
	limit := q.limit.number(q.bound)
	for _, r := range rows {
		if resumed && r.order <= q.at.order {
			continue
		}
		if per > 0 && q.at.ofThere >= per {
			break
		}
		fits, err := q.rowFits(p, r)
		if err != nil {
			return true, err
		}
		if !fits {
			continue
		}
		q.page.rows = append(q.page.rows, q.row(p, r))
		q.at.token, q.at.raw, q.at.order, q.at.inside = p.token, p.raw, r.order, true
		q.at.given++
		q.at.ofThere++
		if limit > 0 && q.at.given >= limit {
			return true, nil
		}
		if len(q.page.rows) >= q.rows {
			q.cut()
			return true, nil
		}
	}
	return false, nil
}

func (q *scan) cut() {
	at := q.at
	q.page.more = &at
}

func (q *scan) tokensFit(p *partition) (bool, *Error) {
	for _, r := range q.where {
		if !r.token {
			continue
		}
		value, err := q.value(r.term, "bigint", q.bound)
		if err != nil || !compares(p.token, toLong(value), r.operator) {
			return false, err
		}
	}
	return true, nil
}

func (q *scan) rowFits(p *partition, r *row) (bool, *Error) {
	for _, rel := range q.where {
		if rel.token {
			continue
		}
		c, _ := q.table.column(rel.columns[0])
		want, err := q.value(rel.term, c.typ, q.bound)
		if err != nil {
			return false, err
		}
		have := q.cell(p, r, c)
		if have == nil || want == nil || !compares(int64(bytes.Compare(c.typ.ordered(have), c.typ.ordered(want))), 0, rel.operator) {
			return false, nil
		}
	}
	return true, nil
}

func compares(a, b int64, operator string) bool {
	switch operator {
	case "=":
		return a == b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	default:
		return a >= b
	}
}

func (q *scan) cell(p *partition, r *row, c column) []byte {
	switch c.kind {
	case "partition_key":
		return p.key[c.index]
	case "clustering":
		return r.key[c.index]
	}
	if held, has := r.cells[c.name]; has && r.holds(p, held, q.now) {
		return held.value
	}
	return nil
}

// columns are those of the answer.
func (p prepared) answer(t *table) []columnDef {
	var columns []columnDef
	for _, a := range p.asked {
		typ := cqlType("bigint") // token, count, writetime
		switch a.function {
		case "*":
			for _, c := range t.columns {
				columns = append(columns, c.columnDef)
			}
			continue
		case "":
			c, _ := t.column(a.columns[0])
			typ = c.typ
		case "now":
			typ = "timeuuid"
		case "ttl":
			typ = "int"
		}
		columns = append(columns, columnDef{a.name(), typ})
	}
	return columns
}

func (q *scan) columns() []columnDef { return q.answer(q.table) }

func (q *scan) row(p *partition, r *row) [][]byte {
	var values [][]byte
	for _, a := range q.asked {
		switch a.function {
		case "*":
			for _, c := range q.table.columns {
				values = append(values, q.cell(p, r, c))
			}
			continue
		case "token":
			values = append(values, long(p.token))
			continue
		case "now":
			values = append(values, gocql.UUIDFromTime(q.server.now()).Bytes())
			continue
		case "count":
			values = append(values, nil)
			continue
		}
		c, _ := q.table.column(a.columns[0])
		held, has := r.cells[c.name]
		has = has && r.holds(p, held, q.now)
		switch {
		case a.function == "":
			values = append(values, q.cell(p, r, c))
		case !has || a.function == "ttl" && held.expires == 0:
			values = append(values, nil)
		case a.function == "ttl":
			values = append(values, binary.BigEndian.AppendUint32(nil, uint32(held.expires-q.now))) //nolint:gosec // seconds
		default:
			values = append(values, long(held.at))
		}
	}
	return values
}
