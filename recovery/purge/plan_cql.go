// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// CQL are the statements of the purge, as text with comments: what is known is
// filled in, and what comes from the database at the time stands as :name.
func (p *Plan) CQL(o Options) []string {
	o = o.withDefaults()
	t := p.Target
	lines := []string{
		"-- Statements of the purge of " + t.Title() + ", in their order. Names with a colon are found out when it runs.",
		"-- 1. The row and its endpoints go first, in one logged batch at consistency ALL.",
		"BEGIN BATCH",
	}
	for _, st := range detachStatements(t, cql.Later("now"), cql.All) {
		lines = append(lines, "  "+st.Literal())
	}
	lines = append(lines, "APPLY BATCH;", "-- 2. After the wait, at consistency "+o.Consistency.String()+": each range of tokens is scanned, and each partition found is deleted.")
	tables := t.sweeps()
	for i := len(tables) - 1; i >= 0; i-- {
		s := tables[i]
		table := t.table(s.name)
		var values []any
		for _, column := range s.key {
			if column == columnInterface {
				values = append(values, t.ID)
			} else {
				values = append(values, cql.Later(column))
			}
		}
		lines = append(lines,
			cql.Statement{Text: cql.SelectKeysOf(table, s.key, columnInterface), Values: []any{cql.Later("start"), cql.Later("end"), t.ID}}.Literal()+" -- or without the last condition, where the server does not filter",
			cql.Statement{Text: cql.Delete(table, s.key), Values: append([]any{cql.Later("cut")}, values...)}.Literal())
	}
	if t.Object != nil {
		lines = append(lines, "-- 3. The table of the object, when all nodes are up and agree on the schema.", cql.Statement{Text: cql.Drop(t.table(t.Object.Name))}.Literal())
	}
	lines = append(lines, "-- 4. The lists of devices of a draft, at consistency ALL.")
	for _, st := range groupStatements(t, cql.Later("cut"), cql.All) {
		lines = append(lines, st.Literal())
	}
	lines = append(lines, "-- 5. Verification, at consistency ALL.")
	for _, s := range tables {
		lines = append(lines, cql.Statement{Text: cql.SelectFirstRows(t.table(s.name), s.key), Values: []any{cql.Later("start"), cql.Later("end")}}.Literal())
	}
	return lines
}
