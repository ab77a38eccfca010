// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// countKeys counts the target's partitions in one of the shared tables by
// reading all of its keys.
func countKeys(ctx context.Context, db Database, p *Plan, t shared) (Estimate, error) {
	text := cql.SelectKeys(p.Target.table(t.name), t.key)
	if db.Scylla() {
		text = cql.BypassCache(text)
	}
	var found atomic.Int64
	failures, err := newScanner(db, len(p.Nodes.Nodes), DefaultBackoff()).run(ctx, rangeJob{
		share: cql.FullRing(), splits: splitsFor(p.Partitions), page: pageKeys,
		work: func(ctx context.Context, r cql.Range, page int) (rangeCounts, finishRange, error) {
			var here int64
			rows := db.Rows(ctx, cql.Statement{Text: text, Values: []any{r.Start, r.End}, Consistency: cql.Quorum, PageSize: page})
			var key partition
			dest := key.dest(t)
			for rows.Scan(dest...) {
				if key.iface == p.Target.ID {
					here++
				}
			}
			err := rows.Close()
			if err == nil {
				found.Add(here)
			}
			return rangeCounts{}, nil, err
		},
	})
	if err != nil {
		return Estimate{}, fmt.Errorf("read keys of %s: %w", t.name, err)
	}
	if len(failures) > 0 {
		return Estimate{Count: found.Load(), Failed: fmt.Sprintf("%d ranges cannot be read, the first is %s", len(failures), failures[0])}, nil
	}
	return exactly(found.Load()), nil
}
