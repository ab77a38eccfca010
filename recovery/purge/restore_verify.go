// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// mostWrong bounds the list of rows that differ.
const mostWrong = 20

// verify reads every row back and compares it with the backup.
func (r *restore) verify(ctx context.Context) error {
	for _, f := range r.plan.files {
		r.say("verifying %d rows of %s", f.rows, f.table)
		n, err := r.each(ctx, f, func(ctx context.Context, h backupHeading, row backupRow) error {
			return r.compare(ctx, f, h, row)
		})
		r.report.Verified += n
		r.report.Rows += f.rows
		if err != nil {
			return fmt.Errorf("verify table %s: %w", f.table, err)
		}
	}
	if len(r.report.Wrong) > 0 {
		return fmt.Errorf("%w: %d rows are not as they were saved, the first is %s; run the command again, and if that does not help look who writes there", ErrIncomplete, len(r.report.Wrong), r.report.Wrong[0])
	}
	return nil
}

func (r *restore) compare(ctx context.Context, f restoreFile, h backupHeading, row backupRow) error {
	w := rowWrite{schema: r.plan.meta.Tables[f.table], h: h, row: row}
	keys := w.schema.Names(cql.PartitionKey, cql.Clustering)
	var values []any
	var expressions []string
	for _, k := range keys {
		values = append(values, cellOf(row.column(h, k)))
	}
	for _, c := range h.Columns {
		expressions = append(expressions, cql.Column(c))
	}
	cells := make([]cql.Cell, len(h.Columns))
	dest := make([]any, len(cells))
	for i := range cells {
		dest[i] = &cells[i]
	}
	found, err := readOne(ctx, r.db, cql.Statement{
		Text: cql.SelectExpressions(w.schema.Table, expressions, keys), Values: values, Consistency: cql.Quorum,
	}, dest...)
	if err != nil {
		return err
	}
	now := r.o.Now().Unix()
	if _, expired := w.byTTL(now); expired > 0 {
		// Some of it has expired while it was restored; the rest may have too.
		return nil
	}
	if !found {
		r.wrong(f, w, "it is not there")
		return nil
	}
	for i, c := range cells {
		want := cellOf(row.Values[i])
		if c.Null == want.Null && bytes.Equal(c.Bytes, want.Bytes) {
			continue
		}
		newer, err := r.newer(ctx, f, w, h.Columns[i])
		if err != nil {
			return err
		}
		if !newer {
			r.wrong(f, w, fmt.Sprintf("its %s differs", h.Columns[i]))
			return nil
		}
	}
	return nil
}

// newer says whether a column was written after this file's row: by a later
// file, or by a device.
func (r *restore) newer(ctx context.Context, f restoreFile, w rowWrite, column string) (bool, error) {
	for _, c := range w.schema.Columns {
		// Collections have no single time; that a later file may hold the row again
		// is all that can explain another value.
		if c.Name == column && isCollection(c.Type) {
			return !f.last || w.row.Generation < f.most, nil
		}
	}
	keys := w.schema.Names(cql.PartitionKey, cql.Clustering)
	var values []any
	for _, k := range keys {
		values = append(values, cellOf(w.row.column(w.h, k)))
	}
	var written cql.Cell
	_, err := readOne(ctx, r.db, cql.Statement{
		Text: cql.SelectExpressions(w.schema.Table, []string{cql.WriteTime(column)}, keys), Values: values, Consistency: cql.Quorum,
	}, &written)
	if err != nil {
		return false, err
	}
	at := number(written, 8)
	return at != nil && *at >= r.state.Stamp+f.first+(w.row.Generation+1)*stampsPerRow, nil
}

func (r *restore) wrong(f restoreFile, w rowWrite, why string) {
	var key []string
	for _, c := range w.schema.Names(cql.PartitionKey, cql.Clustering) {
		value := cellOf(w.row.column(w.h, c))
		key = append(key, fmt.Sprintf("%s=0x%x", c, value.Bytes))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Wrong) < mostWrong {
		r.report.Wrong = append(r.report.Wrong, fmt.Sprintf("%s of %s: %s", strings.Join(key, " "), f.table, why))
	}
}
