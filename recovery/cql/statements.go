// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"fmt"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// Consistency is how many replicas must answer.
type Consistency = gocql.Consistency

// The consistency levels that are in use.
const (
	One         = gocql.One
	Quorum      = gocql.Quorum
	LocalQuorum = gocql.LocalQuorum
	EachQuorum  = gocql.EachQuorum
	All         = gocql.All
)

// ParseConsistency reads the name of a level that data can be read and deleted at.
func ParseConsistency(name string) (Consistency, error) {
	switch strings.ToUpper(name) {
	case "QUORUM":
		return Quorum, nil
	case "LOCAL_QUORUM":
		return LocalQuorum, nil
	case "ALL":
		return All, nil
	default:
		return 0, fmt.Errorf("consistency %q is not one of QUORUM, LOCAL_QUORUM, ALL: with fewer replicas, data would be missed", name)
	}
}

// Statement is one request: a text whose names were checked, and the values
// bound to it.
type Statement struct {
	Text        string
	Values      []any
	Consistency Consistency
	PageSize    int           // rows a page, fewer if the server allows no more; 0 takes the session's
	Timeout     time.Duration // 0 takes the session's
}

// The texts of the statements. Names stand for %s; everything else is bound.
const (
	textSelect       = `SELECT %s FROM %s`
	textSelectWhere  = `SELECT %s FROM %s WHERE %s`
	textKeys         = `SELECT DISTINCT %s FROM %s WHERE token(%s) > ? AND token(%s) <= ?`
	textKeysOf       = `SELECT DISTINCT %s FROM %s WHERE token(%s) > ? AND token(%s) <= ? AND %s = ? ALLOW FILTERING`
	textFirstRows    = `SELECT %s FROM %s WHERE token(%s) > ? AND token(%s) <= ? PER PARTITION LIMIT 1`
	textFirstRowsOf  = `SELECT %s FROM %s WHERE token(%s) > ? AND token(%s) <= ? AND %s = ? PER PARTITION LIMIT 1 ALLOW FILTERING`
	textRange        = `SELECT %s FROM %s WHERE token(%s) > ? AND token(%s) <= ?`
	textSample       = `SELECT token(%s), %s FROM %s WHERE token(%s) > ? PER PARTITION LIMIT 1 LIMIT ?`
	textDelete       = `DELETE FROM %s USING TIMESTAMP ? WHERE %s`
	textInsert       = `INSERT INTO %s (%s) VALUES (%s) USING TIMESTAMP ?`
	textInsertTTL    = `INSERT INTO %s (%s) VALUES (%s) USING TTL ? AND TIMESTAMP ?`
	textDrop         = `DROP TABLE %s`
	textBypassCache  = ` BYPASS CACHE USING TIMEOUT 60s` //nolint:gosec // G101: to bypass is no password
	usingTimestamp   = ` USING TIMESTAMP ?`
	andTimestamp     = ` AND TIMESTAMP ?`
	deletePrefix     = `DELETE `
	insertPrefix     = `INSERT `
	writetimeColumn  = `WRITETIME(%s)`
	remainingSeconds = `TTL(%s)`
)

// Select reads columns of the whole table, or of the rows whose columns where
// have the values that are bound.
func Select(t Table, columns, where []string) string {
	if len(where) == 0 {
		return fmt.Sprintf(textSelect, columnList(columns), t)
	}
	return fmt.Sprintf(textSelectWhere, columnList(columns), t, equalities(where))
}

// SelectExpressions is [Select] for expressions, such as [WriteTime], that
// stand in the statement as they are.
func SelectExpressions(t Table, expressions, where []string) string {
	if len(where) == 0 {
		return fmt.Sprintf(textSelect, strings.Join(expressions, ", "), t)
	}
	return fmt.Sprintf(textSelectWhere, strings.Join(expressions, ", "), t, equalities(where))
}

// SelectRange reads expressions of all rows in a range; bound are its ends.
func SelectRange(t Table, expressions, key []string) string {
	k := columnList(key)
	return fmt.Sprintf(textRange, strings.Join(expressions, ", "), t, k, k)
}

// Column is a column as an expression.
func Column(name string) string { return quoteColumn(name) }

// WriteTime is the expression for the microseconds at which a column was written.
func WriteTime(name string) string { return fmt.Sprintf(writetimeColumn, quoteColumn(name)) }

// TTL is the expression for the seconds that a column has left.
func TTL(name string) string { return fmt.Sprintf(remainingSeconds, quoteColumn(name)) }

// SelectKeys reads the partition keys in a range; bound are its ends. The
// servers demand that DISTINCT names the whole partition key and nothing else.
func SelectKeys(t Table, key []string) string {
	k := columnList(key)
	return fmt.Sprintf(textKeys, k, t, k, k)
}

// SelectKeysOf is [SelectKeys] filtered by the server to the keys whose column
// has the value bound last. ScyllaDB refuses it, and so may a guardrail.
func SelectKeysOf(t Table, key []string, column string) string {
	k := columnList(key)
	return fmt.Sprintf(textKeysOf, k, t, k, k, quoteColumn(column))
}

// SelectFirstRows reads the partition keys in a range without DISTINCT: another
// way to the same keys, past the mistakes of the first.
func SelectFirstRows(t Table, key []string) string {
	k := columnList(key)
	return fmt.Sprintf(textFirstRows, k, t, k, k)
}

// SelectFirstRowsOf is [SelectFirstRows] filtered by the server.
func SelectFirstRowsOf(t Table, key []string, column string) string {
	k := columnList(key)
	return fmt.Sprintf(textFirstRowsOf, k, t, k, k, quoteColumn(column))
}

// SelectSample reads the token and the columns of the first keys after a token;
// bound are the token and how many.
func SelectSample(t Table, key, columns []string) string {
	return fmt.Sprintf(textSample, columnList(key), columnList(columns), t, columnList(key))
}

// BypassCache adds what ScyllaDB wants of a scan: leave the cache to others,
// and take time.
func BypassCache(text string) string { return text + textBypassCache }

// Delete removes what where names; bound are the timestamp, then its values.
func Delete(t Table, where []string) string {
	return fmt.Sprintf(textDelete, t, equalities(where))
}

// Insert writes a row; bound are the values, then the timestamp.
func Insert(t Table, columns []string) string {
	return fmt.Sprintf(textInsert, t, columnList(columns), marks(len(columns)))
}

// InsertTTL writes a row that expires; bound are the values, the seconds to
// live, then the timestamp.
func InsertTTL(t Table, columns []string) string {
	return fmt.Sprintf(textInsertTTL, t, columnList(columns), marks(len(columns)))
}

// Drop drops a table.
func Drop(t Table) string { return fmt.Sprintf(textDrop, t) }

func equalities(columns []string) string {
	terms := make([]string, len(columns))
	for i, c := range columns {
		terms[i] = quoteColumn(c) + " = ?"
	}
	return strings.Join(terms, " AND ")
}

func marks(n int) string {
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}

// unstamped is s without its USING TIMESTAMP, and the timestamp that was bound
// to it, for servers that allow it in the protocol's frame only. A statement
// that has none is returned as it is, with timestamp 0.
func (s Statement) unstamped() (Statement, int64) {
	at, text := -1, s.Text
	switch {
	case strings.HasPrefix(text, deletePrefix) && strings.Contains(text, usingTimestamp):
		at, text = 0, strings.Replace(text, usingTimestamp, "", 1)
	case strings.HasPrefix(text, insertPrefix) && strings.HasSuffix(text, andTimestamp):
		at, text = len(s.Values)-1, strings.TrimSuffix(text, andTimestamp)
	case strings.HasPrefix(text, insertPrefix) && strings.HasSuffix(text, usingTimestamp):
		at, text = len(s.Values)-1, strings.TrimSuffix(text, usingTimestamp)
	}
	if at < 0 {
		return s, 0
	}
	timestamp, ok := s.Values[at].(int64)
	if !ok {
		return s, 0
	}
	values := make([]any, 0, len(s.Values)-1)
	values = append(append(values, s.Values[:at]...), s.Values[at+1:]...)
	s.Text, s.Values = text, values
	return s, timestamp
}
