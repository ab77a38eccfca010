// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// options are the options of a table that say something about its data.
type options struct {
	comment                          string
	ttl, gcGrace                     int
	compaction, compression, caching map[string]string
}

func (o options) render() map[string]string {
	all := map[string]string{
		"default_time_to_live": strconv.Itoa(o.ttl),
		"gc_grace_seconds":     strconv.Itoa(o.gcGrace),
	}
	if o.comment != "" {
		all["comment"] = literal(o.comment)
	}
	for name, m := range map[string]map[string]string{"compaction": o.compaction, "compression": o.compression, "caching": o.caching} {
		if len(m) > 0 {
			all[name] = mapLiteral(m)
		}
	}
	return all
}

func mapLiteral(m map[string]string) string {
	var terms []string
	for k, v := range m {
		terms = append(terms, literal(k)+": "+literal(v))
	}
	slices.Sort(terms)
	return "{" + strings.Join(terms, ", ") + "}"
}

// Create is the statement that creates the table again.
func (t TableSchema) Create() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", t.Table)
	for _, c := range t.Columns {
		fmt.Fprintf(&b, "%s %s", quoteColumn(c.Name), c.Type)
		if c.Kind == Static {
			b.WriteString(" STATIC")
		}
		b.WriteString(", ")
	}
	fmt.Fprintf(&b, "PRIMARY KEY ((%s)", columnList(t.Names(PartitionKey)))
	var order []string
	for _, c := range t.Columns {
		if c.Kind == Clustering {
			fmt.Fprintf(&b, ", %s", quoteColumn(c.Name))
			order = append(order, quoteColumn(c.Name)+" "+strings.ToUpper(c.Order))
		}
	}
	b.WriteString("))")
	var with []string
	if len(order) > 0 {
		with = append(with, "CLUSTERING ORDER BY ("+strings.Join(order, ", ")+")")
	}
	for name, value := range t.Options {
		with = append(with, name+" = "+value)
	}
	slices.Sort(with)
	if len(with) > 0 {
		b.WriteString(" WITH " + strings.Join(with, " AND "))
	}
	return b.String()
}
