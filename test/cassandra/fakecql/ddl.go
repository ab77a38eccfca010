// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gocql/gocql"
)

// schemaChange is what a client is told about a change.
type schemaChange struct{ change, target, keyspace, name string }

// define runs a statement that changes the schema.
func (s *Server) define(st statement) (schemaChange, *Error) {
	k := s.keyspaces[st.table.keyspace]
	if st.verb != doCreateKeyspace && k == nil {
		return schemaChange{}, invalid("Keyspace '%s' does not exist", st.table.keyspace)
	}
	name := st.table.table
	switch st.verb {
	case doCreateKeyspace:
		return s.createKeyspace(st)
	case doDropKeyspace:
		delete(s.keyspaces, k.name)
		return schemaChange{"DROPPED", "KEYSPACE", k.name, ""}, nil
	case doCreateType:
		k.types[name] = st.defined
		return schemaChange{"CREATED", "TYPE", k.name, name}, nil
	case doCreateTable:
		return createTable(k, st)
	case doAlterTable:
		t := k.tables[name]
		if t == nil {
			return schemaChange{}, invalid("Table '%s.%s' doesn't exist", k.name, name)
		}
		for _, c := range st.defined {
			t.add(c)
		}
		return schemaChange{"UPDATED", "TABLE", k.name, name}, nil
	default: // DROP TABLE
		if k.tables[name] == nil {
			if st.condition {
				return schemaChange{}, nil
			}
			return schemaChange{}, invalid("Table '%s.%s' doesn't exist", k.name, name)
		}
		delete(k.tables, name)
		return schemaChange{"DROPPED", "TABLE", k.name, name}, nil
	}
}

func (s *Server) createKeyspace(st statement) (schemaChange, *Error) {
	name := st.table.keyspace
	if s.keyspaces[name] != nil {
		if st.condition {
			return schemaChange{}, nil
		}
		return schemaChange{}, &Error{Code: codeAlreadyExists, Message: fmt.Sprintf("Keyspace '%s' already exists", name), keyspace: name}
	}
	s.keyspaces[name] = newKeyspace(name, cmp.Or(st.replication, "1"))
	return schemaChange{"CREATED", "KEYSPACE", name, ""}, nil
}

func newKeyspace(name, replication string) *keyspace {
	return &keyspace{name: name, replication: replication, types: map[string][]columnDef{}, tables: map[string]*table{}}
}

func createTable(k *keyspace, st statement) (schemaChange, *Error) {
	name := st.table.table
	if k.tables[name] != nil {
		if st.condition {
			return schemaChange{}, nil
		}
		return schemaChange{}, &Error{Code: codeAlreadyExists, Message: fmt.Sprintf("Table '%s.%s' already exists", k.name, name), keyspace: k.name, table: name}
	}
	k.tables[name] = newTable(k, name, st.defined, st.partition, st.order)
	return schemaChange{"CREATED", "TABLE", k.name, name}, nil
}

func newTable(k *keyspace, name string, defined []columnDef, key, clustering []string) *table {
	t := &table{keyspace: k, name: name, id: gocql.TimeUUID(), partition: key, clustering: clustering, byKey: map[string]*partition{}}
	place := func(names []string, kind string) {
		for i, n := range names {
			at := slices.IndexFunc(defined, func(c columnDef) bool { return c.name == n })
			t.columns = append(t.columns, column{columnDef: defined[at], kind: kind, index: i})
		}
	}
	place(key, "partition_key")
	place(clustering, "clustering")
	for _, c := range defined {
		if !slices.Contains(key, c.name) && !slices.Contains(clustering, c.name) {
			t.add(c)
		}
	}
	return t
}

func invalid(format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(format, args...)}
}
