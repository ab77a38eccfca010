// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// liveRow is the interface's row with the time at which it was written.
type liveRow struct {
	found   bool
	id      cql.UUID
	written int64 // microseconds
}

// readRow reads the row of the target's interface, at a consistency level.
func readRow(ctx context.Context, db Reader, t *Target, level cql.Consistency) (liveRow, error) {
	var r liveRow
	var err error
	r.found, err = readOne(ctx, db, cql.Statement{
		Text:   cql.SelectExpressions(t.table(tableInterfaces), []string{cql.Column(columnInterface), cql.WriteTime(columnInterface)}, []string{columnName, columnMajor}),
		Values: []any{t.Name, t.Major}, Consistency: level,
	}, &r.id, &r.written)
	if err != nil {
		return liveRow{}, fmt.Errorf("read row of interface %s: %w", Title(t.Name, t.Major), err)
	}
	return r, nil
}
