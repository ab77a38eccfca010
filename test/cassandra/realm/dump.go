// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gocql/gocql"
)

// Row is one row of a table, its cells as the server sent them in hexadecimal,
// "null" where there is none. A scalar's cell has its write time behind an "@":
// a row that was written again differs.
type Row map[string]string

// Dump is every row of every table of a keyspace, by table. "system_schema"
// holds a row for each table, with its id: a table made anew differs.
type Dump map[string][]Row

// raw takes a cell's bytes as they are.
type raw struct {
	bytes []byte
	null  bool
}

// UnmarshalCQL keeps the bytes.
func (r *raw) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	r.null, r.bytes = data == nil, slices.Clone(data)
	return nil
}

func (r *raw) String() string {
	if r.null {
		return "null"
	}
	return hex.EncodeToString(r.bytes)
}

type column struct{ name, kind, typ string }

// Dump reads a whole keyspace; it is for small ones.
func (r *Realm) Dump(ctx context.Context) (Dump, error) {
	tables := map[string][]column{}
	var table string
	var c column
	rows := r.Session.Query("SELECT table_name, column_name, kind, type FROM system_schema.columns WHERE keyspace_name = ?", r.Keyspace).WithContext(ctx).Iter()
	for rows.Scan(&table, &c.name, &c.kind, &c.typ) {
		tables[table] = append(tables[table], c)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("dump %s: %w", r.Keyspace, err)
	}
	dump := Dump{}
	for table, columns := range tables {
		found, err := r.dumpTable(ctx, table, columns)
		if err != nil {
			return nil, fmt.Errorf("dump %s.%s: %w", r.Keyspace, table, err)
		}
		dump[table] = found
	}
	var id gocql.UUID
	rows = r.Session.Query("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?", r.Keyspace).WithContext(ctx).Iter()
	for rows.Scan(&table, &id) {
		dump["system_schema"] = append(dump["system_schema"], Row{"table": table, "id": id.String()})
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("dump %s: %w", r.Keyspace, err)
	}
	return dump, nil
}

func (r *Realm) dumpTable(ctx context.Context, table string, columns []column) ([]Row, error) {
	var asked []string
	for _, c := range columns {
		asked = append(asked, `"`+c.name+`"`)
		if c.timed() {
			asked = append(asked, `writetime("`+c.name+`")`)
		}
	}
	cells := make([]raw, len(asked))
	targets := make([]any, len(asked))
	for i := range cells {
		targets[i] = &cells[i]
	}
	var found []Row
	rows := r.Session.Query("SELECT " + strings.Join(asked, ", ") + " FROM " + r.Keyspace + `."` + table + `"`).WithContext(ctx).Iter()
	for rows.Scan(targets...) {
		row, next := Row{}, 0
		for _, c := range columns {
			row[c.name] = cells[next].String()
			next++
			if c.timed() {
				row[c.name] += "@" + cells[next].String()
				next++
			}
		}
		found = append(found, row)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b Row) int { return strings.Compare(a.text(), b.text()) })
	return found, nil
}

// timed tells if the server has one write time for the column's cell.
func (c column) timed() bool {
	return c.kind == "regular" && !strings.ContainsAny(c.typ, "<") && c.typ != "capabilities" && c.typ != "session_key"
}

func (r Row) text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		b.WriteString(name + "=" + r[name] + " ")
	}
	return b.String()
}

// Without is the dump less the rows that belong to an interface: what a purge of
// it must leave, to the byte.
func (d Dump) Without(i Interface) Dump {
	id := hex.EncodeToString(i.ID().Bytes())
	rest := Dump{}
	for table, rows := range d {
		if i.Kind == Object && table == i.Table() {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(rows), func(row Row) bool {
			switch table {
			case "system_schema":
				return i.Kind == Object && row["table"] == i.Table()
			case "kv_store":
				return i.Major == 0 && slices.ContainsFunc(DraftGroups(i.Name), func(group string) bool {
					return row["group"] == hex.EncodeToString([]byte(group))
				})
			case "interfaces":
				return row["interface_id"] != "null" && strings.HasPrefix(row["interface_id"], id)
			default:
				return row["interface_id"] == id
			}
		})
		rest[table] = left
		if len(left) == 0 {
			rest[table] = nil // as Dump has it
		}
	}
	return rest
}

// Untimed is the dump without write times: what an undo must bring back.
func (d Dump) Untimed() Dump {
	plain := Dump{}
	for table, rows := range d {
		for _, row := range rows {
			bare := Row{}
			for name, cell := range row {
				value, _, _ := strings.Cut(cell, "@")
				if table != "system_schema" || name != "id" {
					bare[name] = value
				}
			}
			plain[table] = append(plain[table], bare)
		}
		slices.SortFunc(plain[table], func(a, b Row) int { return strings.Compare(a.text(), b.text()) })
	}
	return plain
}

// Count is the number of rows of an interface left anywhere.
func (d Dump) Count(i Interface) int {
	count := 0
	rest := d.Without(i)
	for table, rows := range d {
		count += len(rows) - len(rest[table])
	}
	return count
}
