// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// futureFrom is the sweep from which on what is found is looked at: the first
// sweep finds all data, a later one only what was written since, or what bears
// a time that has not come yet and so outlives every delete.
const futureFrom = 2

// futureBy is how far after the cut a write must be dated to count as one from
// the future, and not as one that came in meanwhile.
const futureBy = time.Minute

// futureRows are partitions that bear a time in the future.
type futureRows struct {
	mu   sync.Mutex
	some []Leftover
}

const mostLeftovers = 50

func (f *futureRows) note(table string, p partition, written int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := Leftover{Table: table, Key: p.String(), Written: formatMicros(written), Reason: "dated in the future: no delete of now can reach it; it can be purged when that time has come"}
	if len(f.some) < mostLeftovers && !slices.Contains(f.some, l) {
		f.some = append(f.some, l)
	}
}

// futureDated is the latest time at which a partition says it was written, if
// that is in the future; else 0.
func (s *sweep) futureDated(ctx context.Context, p partition) (int64, error) {
	t := shared{tableProperties, propertiesKey(), ""}
	if p.path != "" {
		t = shared{tableDatastreams, datastreamsKey(), ""}
	}
	written, err := s.latestWrite(ctx, t, p)
	if err != nil || written < s.cut+futureBy.Microseconds() {
		return 0, err
	}
	return written, nil
}

// latestWrite is the latest time at which a value of the partition's first rows
// was written, in microseconds; 0 when the server does not tell.
func (r *run) latestWrite(ctx context.Context, t shared, p partition) (int64, error) {
	f, err := r.format(ctx, t.name)
	if err != nil {
		return 0, err
	}
	var expressions []string
	for _, c := range f.stamped {
		expressions = append(expressions, cql.WriteTime(c))
	}
	if len(expressions) == 0 {
		return 0, nil
	}
	cells := make([]cql.Cell, len(expressions))
	dest := make([]any, len(cells))
	for i := range cells {
		dest[i] = &cells[i]
	}
	rows := r.db.Rows(ctx, cql.Statement{
		Text:   cql.SelectExpressions(r.target.table(t.name), expressions, t.key),
		Values: p.values(t), Consistency: r.o.Consistency, PageSize: pageRows,
	})
	var latest int64
	for seen := 0; seen < pageRows && rows.Scan(dest...); seen++ {
		for _, c := range cells {
			if w := number(c, 8); w != nil {
				latest = max(latest, *w)
			}
		}
	}
	return latest, rows.Close()
}
