// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// rowFormat is how the rows of a table are read for a backup: all columns as
// raw bytes, and for those that can expire the seconds left and the time at
// which they were written, as far as the server tells them.
type rowFormat struct {
	schema  cql.TableSchema
	columns []string
	stamped []string
	hidden  []string // columns whose times the server does not tell
}

// newRowFormat finds out what the server can tell about a table's columns: the
// times of scalars always, those of lists, sets and maps from Cassandra 5 on.
func newRowFormat(ctx context.Context, db Reader, t cql.Table) (rowFormat, bool, error) {
	schema, found, err := cql.ReadTable(ctx, db, t)
	if err != nil || !found {
		return rowFormat{}, false, err
	}
	f := rowFormat{schema: schema, columns: schema.Names(cql.PartitionKey, cql.Clustering, cql.Static, cql.Regular)}
	var collections []string
	for _, c := range schema.Columns {
		if c.Kind != cql.Static && c.Kind != cql.Regular || c.Type == "counter" {
			continue
		}
		if isCollection(c.Type) {
			collections = append(collections, c.Name)
		} else {
			f.stamped = append(f.stamped, c.Name)
		}
	}
	if len(collections) == 0 {
		return f, true, nil
	}
	tells, err := tellsTimes(ctx, db, t, collections[0])
	if err != nil {
		return rowFormat{}, false, err
	}
	if tells {
		f.stamped = append(f.stamped, collections...)
	} else {
		f.hidden = collections
	}
	return f, true, nil
}

// format is the row format of a table of the target, found out once.
func (r *run) format(ctx context.Context, table string) (rowFormat, error) {
	r.formats.Lock()
	defer r.formats.Unlock()
	if f, ok := r.formats.of[table]; ok {
		return f, nil
	}
	f, _, err := newRowFormat(ctx, r.db, r.target.table(table))
	if err == nil {
		r.formats.of[table] = f
	}
	return f, err
}

// rowFormats are the row formats found out so far.
type rowFormats struct {
	sync.Mutex
	of map[string]rowFormat
}

// isCollection says whether a type is stored cell by cell, each with a time of
// its own.
func isCollection(cqlType string) bool {
	for _, prefix := range []string{"list<", "set<", "map<"} {
		if strings.HasPrefix(cqlType, prefix) {
			return true
		}
	}
	return false
}

func tellsTimes(ctx context.Context, db Reader, t cql.Table, column string) (bool, error) {
	var ttl, written cql.Cell
	text := cql.SelectExpressions(t, []string{cql.TTL(column), cql.WriteTime(column)}, nil)
	_, err := readOne(ctx, db, cql.Statement{Text: text, Consistency: cql.One, PageSize: 1}, &ttl, &written)
	if cql.KindOf(err) == cql.KindInvalid {
		return false, nil
	}
	if err != nil && cql.KindOf(err) != cql.KindTombstones {
		return false, fmt.Errorf("ask for times of %s: %w", t, err)
	}
	return true, nil
}

func (f rowFormat) unknown() []string {
	var names []string
	for _, c := range f.hidden {
		names = append(names, f.schema.Table.Name+"."+c)
	}
	return names
}

func (f rowFormat) expressions() []string {
	var all []string
	for _, c := range f.columns {
		all = append(all, cql.Column(c))
	}
	for _, c := range f.stamped {
		all = append(all, cql.TTL(c), cql.WriteTime(c))
	}
	return all
}

// read reads all rows of a statement, and hands each of them to keep.
func (f rowFormat) read(ctx context.Context, db Reader, s cql.Statement, keep func(backupRow) error) error {
	cells := make([]cql.Cell, len(f.columns)+2*len(f.stamped))
	dest := make([]any, len(cells))
	for i := range cells {
		dest[i] = &cells[i]
	}
	rows := db.Rows(ctx, s)
	for rows.Scan(dest...) {
		if err := keep(f.row(cells)); err != nil {
			_ = rows.Close()
			return err
		}
	}
	return rows.Close()
}

func (f rowFormat) row(cells []cql.Cell) backupRow {
	row := backupRow{Values: make([]*[]byte, len(f.columns))}
	for i, c := range cells[:len(f.columns)] {
		if !c.Null {
			value := slices.Clone(c.Bytes)
			if value == nil {
				value = []byte{}
			}
			row.Values[i] = &value
		}
	}
	for i := range f.stamped {
		times := cells[len(f.columns)+2*i:]
		row.TTLs = append(row.TTLs, number(times[0], 4))
		row.Written = append(row.Written, number(times[1], 8))
	}
	return row
}

// number reads an int or a bigint of so many bytes, or the largest of a list of
// them, which is what a collection answers.
func number(c cql.Cell, size int) *int64 {
	if c.Null || len(c.Bytes) < size {
		return nil
	}
	if len(c.Bytes) == size {
		return new(bigEndian(c.Bytes))
	}
	// A list: the number of elements, then each with its length.
	var most *int64
	for rest := c.Bytes[4:]; len(rest) >= 4; {
		n := int(int32(binary.BigEndian.Uint32(rest))) //nolint:gosec // G115: a length on the wire; -1 is null
		rest = rest[4:]
		if n < 0 || n > len(rest) {
			continue
		}
		if n == size {
			if v := bigEndian(rest[:n]); most == nil || v > *most {
				most = &v
			}
		}
		rest = rest[n:]
	}
	return most
}

func bigEndian(b []byte) int64 {
	if len(b) == 4 {
		return int64(int32(binary.BigEndian.Uint32(b))) //nolint:gosec // G115: an int of the server
	}
	return int64(binary.BigEndian.Uint64(b)) //nolint:gosec // G115: a bigint of the server
}
