// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// identifier is what a keyspace or table of Astarte can be called: they
	// cannot be bound, so nothing else is ever put into a statement.
	identifier = regexp.MustCompile(`\A[a-z][a-z0-9_]{0,47}\z`)
	column     = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_]{0,255}\z`)
)

// Table names a table; its parts have been checked.
type Table struct{ Keyspace, Name string }

// NewTable is the table of that name, or an error when one of the names cannot
// be one of Astarte's: lower case letters, digits and underscores, at most 48.
func NewTable(keyspace, name string) (Table, error) {
	if err := CheckIdentifier("keyspace", keyspace); err != nil {
		return Table{}, err
	}
	if err := CheckIdentifier("table", name); err != nil {
		return Table{}, err
	}
	return Table{keyspace, name}, nil
}

// CheckIdentifier says whether name may be put into a statement as a keyspace
// or table; what is what the name is of.
func CheckIdentifier(what, name string) error {
	if !identifier.MatchString(name) {
		return fmt.Errorf("%s %q is not a plain name: a lower case letter, then lower case letters, digits and underscores, at most 48 in all", what, name)
	}
	return nil
}

// String is the table's name as it stands in a statement.
func (t Table) String() string {
	return `"` + t.Keyspace + `"."` + t.Name + `"`
}

// columnList is the names as they stand in a statement. They come from the
// server's schema; one that is no plain name is an error of the caller's.
func columnList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteColumn(n)
	}
	return strings.Join(quoted, ", ")
}

func quoteColumn(name string) string {
	if !column.MatchString(name) {
		// Doubling the quotes is CQL's own escape; no such column exists in Astarte.
		name = strings.ReplaceAll(name, `"`, `""`)
	}
	return `"` + name + `"`
}
