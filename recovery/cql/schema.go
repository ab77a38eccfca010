// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// ColumnSchema is a column as system_schema describes it.
type ColumnSchema struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"` // partition_key, clustering, static, regular
	Position int    `json:"position"`
	Type     string `json:"type"`
	Order    string `json:"order"` // asc, desc, none
}

// TableSchema is a table as system_schema describes it.
type TableSchema struct {
	Table   Table             `json:"table"`
	ID      UUID              `json:"id"`
	Columns []ColumnSchema    `json:"columns"` // keys first, in their order
	Options map[string]string `json:"options,omitempty"`
}

// The kinds of columns.
const (
	PartitionKey = "partition_key"
	Clustering   = "clustering"
	Static       = "static"
	Regular      = "regular"
)

const (
	textTables      = `SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?`
	textTableID     = `SELECT id, comment, default_time_to_live, gc_grace_seconds, compaction, compression, caching FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?`
	textColumns     = `SELECT column_name, kind, position, type, clustering_order FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?`
	textKeyspaces   = `SELECT keyspace_name FROM system_schema.keyspaces`
	textScylla      = `SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system_schema' AND table_name = 'scylla_tables'`
	schemaPageSize  = 500
	schemaReadLevel = One // the schema is the same on all nodes, or agreement is asked for
)

func isScylla(ctx context.Context, q Querier) (bool, error) {
	var name string
	found, err := one(ctx, q, Statement{Text: textScylla, Consistency: schemaReadLevel}, &name)
	if err != nil {
		return false, fmt.Errorf("read the server's schema: %w", err)
	}
	return found, nil
}

// Keyspaces are the names of all keyspaces.
func Keyspaces(ctx context.Context, q Querier) ([]string, error) {
	rows := q.Rows(ctx, Statement{Text: textKeyspaces, Consistency: schemaReadLevel, PageSize: schemaPageSize})
	var names []string
	for {
		var name string
		if !rows.Scan(&name) {
			break
		}
		names = append(names, name)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("list keyspaces: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// Tables are the tables of a keyspace with their ids.
func Tables(ctx context.Context, q Querier, keyspace string) (map[string]UUID, error) {
	rows := q.Rows(ctx, Statement{Text: textTables, Values: []any{keyspace}, Consistency: schemaReadLevel, PageSize: schemaPageSize})
	tables := map[string]UUID{}
	for {
		var name string
		var id UUID
		if !rows.Scan(&name, &id) {
			break
		}
		tables[name] = id
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("list tables of %q: %w", keyspace, err)
	}
	return tables, nil
}

// ReadTable describes a table; found is false when there is none.
func ReadTable(ctx context.Context, q Querier, t Table) (schema TableSchema, found bool, err error) {
	schema.Table = t
	var o options
	found, err = one(ctx, q, Statement{Text: textTableID, Values: []any{t.Keyspace, t.Name}, Consistency: schemaReadLevel},
		&schema.ID, &o.comment, &o.ttl, &o.gcGrace, &o.compaction, &o.compression, &o.caching)
	if err != nil || !found {
		if err != nil {
			err = fmt.Errorf("read schema of table %s: %w", t, err)
		}
		return TableSchema{}, false, err
	}
	schema.Options = o.render()
	rows := q.Rows(ctx, Statement{Text: textColumns, Values: []any{t.Keyspace, t.Name}, Consistency: schemaReadLevel, PageSize: schemaPageSize})
	for {
		var c ColumnSchema
		if !rows.Scan(&c.Name, &c.Kind, &c.Position, &c.Type, &c.Order) {
			break
		}
		schema.Columns = append(schema.Columns, c)
	}
	if err := rows.Close(); err != nil {
		return TableSchema{}, false, fmt.Errorf("read columns of table %s: %w", t, err)
	}
	slices.SortFunc(schema.Columns, compareColumns)
	return schema, true, nil
}

func compareColumns(a, b ColumnSchema) int {
	kinds := []string{PartitionKey, Clustering, Static, Regular}
	return cmp.Or(
		cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
		cmp.Compare(a.Position, b.Position),
		cmp.Compare(a.Name, b.Name),
	)
}

// Names are the names of the columns of the given kinds, in their order.
func (t TableSchema) Names(kinds ...string) []string {
	var names []string
	for _, c := range t.Columns {
		if slices.Contains(kinds, c.Kind) {
			names = append(names, c.Name)
		}
	}
	return names
}
