// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"bytes"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/gocql/gocql"
)

// never is a write time before all others.
const never = math.MinInt64

type keyspace struct {
	name        string
	replication string
	types       map[string][]columnDef
	tables      map[string]*table
}

// column is a column of a table; index is its place in the key it belongs to.
type column struct {
	columnDef
	kind  string // partition_key, clustering, regular
	index int
}

// table keeps its partitions in the order of their tokens.
type table struct {
	keyspace   *keyspace
	name       string
	id         gocql.UUID
	columns    []column
	partition  []string
	clustering []string

	byKey  map[string]*partition
	sorted []*partition
	dirty  bool // sorted lacks what was added
}

type partition struct {
	token   int64
	raw     string
	key     [][]byte
	deleted int64
	rows    map[string]*row
}

// row is one row; order sorts it among those of its partition.
type row struct {
	order   string
	key     [][]byte
	deleted int64
	marker  cell // the row itself, which is there without any other cell
	cells   map[string]cell
}

// cell is one value with its write time in microseconds and, if it expires, the
// second at which it does.
type cell struct {
	value   []byte
	dead    bool
	at      int64
	expires int64
}

func (t *table) column(name string) (column, bool) {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, false
	}
	return t.columns[i], true
}

// add gives the table a column, without a place in the key.
func (t *table) add(c columnDef) {
	t.columns = append(t.columns, column{columnDef: c, kind: "regular", index: -1})
	// As on the real server, SELECT * gives the rest by name.
	rest := t.columns[len(t.partition)+len(t.clustering):]
	slices.SortFunc(rest, func(a, b column) int { return strings.Compare(a.name, b.name) })
}

// ordered are the partitions by token.
func (t *table) ordered() []*partition {
	if t.dirty {
		t.sorted = t.sorted[:0]
		for _, p := range t.byKey {
			t.sorted = append(t.sorted, p)
		}
		slices.SortFunc(t.sorted, func(a, b *partition) int {
			if a.token != b.token {
				if a.token < b.token {
					return -1
				}
				return 1
			}
			return strings.Compare(a.raw, b.raw)
		})
		t.dirty = false
	}
	return t.sorted
}

// from are the partitions at a token and after it.
func (t *table) from(token int64) []*partition {
	all := t.ordered()
	return all[sort.Search(len(all), func(i int) bool { return all[i].token >= token }):]
}

func (t *table) at(key [][]byte) *partition {
	raw := partitionKey(key)
	p := t.byKey[string(raw)]
	if p == nil {
		p = &partition{token: Token(raw), raw: string(raw), key: key, deleted: never, rows: map[string]*row{}}
		t.byKey[string(raw)] = p
		t.dirty = true
	}
	return p
}

func (t *table) rowAt(p *partition, key [][]byte) *row {
	order := t.order(key)
	r := p.rows[order]
	if r == nil {
		r = &row{order: order, key: key, deleted: never, marker: cell{at: never}, cells: map[string]cell{}}
		p.rows[order] = r
	}
	return r
}

func (t *table) order(key [][]byte) string {
	var b bytes.Buffer
	for i, v := range key {
		c, _ := t.column(t.clustering[i])
		b.Write(c.typ.ordered(v))
	}
	return b.String()
}

// insert writes a row; what is newer already stays.
func (t *table) insert(values map[string][]byte, at, expires int64) {
	p := t.at(pick(values, t.partition))
	r := t.rowAt(p, pick(values, t.clustering))
	r.marker = later(r.marker, cell{at: at, expires: expires})
	for _, c := range t.columns {
		value, given := values[c.name]
		if c.kind != "regular" || !given {
			continue
		}
		old, had := r.cells[c.name]
		if !had {
			old.at = never
		}
		r.cells[c.name] = later(old, cell{value: value, dead: value == nil, at: at, expires: expires})
	}
}

// later is the cell that a replica keeps: of two written at once the dead one,
// then the larger.
func later(old, new cell) cell { //nolint:predeclared // they are old and new
	switch {
	case new.at != old.at:
		if new.at < old.at {
			return old
		}
	case old.dead || (!new.dead && bytes.Compare(old.value, new.value) >= 0):
		return old
	}
	return new
}

// remove deletes a partition, or the rows whose clustering key begins as given.
func (t *table) remove(key, clustering [][]byte, at int64) {
	p := t.at(key)
	if len(clustering) == 0 {
		p.deleted = max(p.deleted, at)
		return
	}
	if len(clustering) == len(t.clustering) {
		r := t.rowAt(p, clustering)
		r.deleted = max(r.deleted, at)
		return
	}
	prefix := t.order(clustering)
	for order, r := range p.rows {
		if strings.HasPrefix(order, prefix) {
			r.deleted = max(r.deleted, at)
		}
	}
}

// live are the rows of a partition that are there, in their order.
func (p *partition) live(now int64) []*row {
	var rows []*row
	for _, r := range p.rows {
		if r.live(p, now) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *row) int { return strings.Compare(a.order, b.order) })
	return rows
}

func (r *row) live(p *partition, now int64) bool {
	if r.marker.at != never && r.holds(p, r.marker, now) {
		return true
	}
	for _, c := range r.cells {
		if r.holds(p, c, now) {
			return true
		}
	}
	return false
}

// holds tells if a cell is there: not deleted since, and not expired.
func (r *row) holds(p *partition, c cell, now int64) bool {
	return !c.dead && c.at > max(p.deleted, r.deleted) && (c.expires == 0 || c.expires > now)
}

func pick(values map[string][]byte, names []string) [][]byte {
	picked := make([][]byte, len(names))
	for i, name := range names {
		picked[i] = values[name]
	}
	return picked
}
