// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// tableSweep sweeps one of the shared tables.
type tableSweep struct {
	*sweep
	shared
	text       string
	deleteText string
	filter     bool
	rows       rowFormat // for the backup
}

// chunkOfKeys is how many partitions are backed up before they are deleted.
const chunkOfKeys = 512

// sweepRange finds the target's partitions in a range, and begins to delete
// them.
func (w *tableSweep) sweepRange(ctx context.Context, r cql.Range, page int) (counts rangeCounts, finish finishRange, err error) {
	values := []any{r.Start, r.End}
	if w.filter {
		values = append(values, w.target.ID)
	}
	group := w.deletes.begin()
	rows := w.db.Rows(ctx, cql.Statement{Text: w.text, Values: values, Consistency: w.o.Consistency, PageSize: page})
	var p partition
	var chunk []partition
	dest := p.dest(w.shared)
	for err == nil && rows.Scan(dest...) {
		if p.iface != w.target.ID {
			continue
		}
		if w.backup == nil && w.number < futureFrom {
			err = group.add(ctx, w.deleteText, append([]any{w.cut}, p.values(w.shared)...)...)
			continue
		}
		if chunk = append(chunk, p); len(chunk) >= chunkOfKeys {
			err = w.chunk(ctx, group, chunk, &counts)
			chunk = chunk[:0]
		}
	}
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if err == nil && len(chunk) > 0 {
		err = w.chunk(ctx, group, chunk, &counts)
	}
	future := counts.Future
	return counts, func() (rangeCounts, error) {
		deleted, err := group.end()
		done := rangeCounts{Found: deleted - future}
		done.deleted(w.name, deleted)
		return done, err
	}, err
}

func (c *rangeCounts) deleted(table string, n int64) {
	if table == tableProperties {
		c.Properties += n
	} else {
		c.Datastreams += n
	}
}

// chunk looks at partitions before they are deleted: keeps their rows, when
// there is a backup, and tells apart those that no sweep can delete.
func (w *tableSweep) chunk(ctx context.Context, group *deletions, keys []partition, counts *rangeCounts) error {
	if w.number >= futureFrom {
		for _, p := range keys {
			written, err := w.futureDated(ctx, p)
			if err != nil {
				return err
			}
			if written > 0 {
				counts.Future++
				w.future.note(w.name, p, written)
			}
		}
	}
	if w.backup != nil {
		n, err := w.keep(ctx, keys)
		counts.Rows += n
		if err != nil {
			return err
		}
	}
	for _, p := range keys {
		if err := group.add(ctx, w.deleteText, append([]any{w.cut}, p.values(w.shared)...)...); err != nil {
			return err
		}
	}
	return nil
}

// keepers is how many partitions of a chunk are read for the backup at a time.
const keepers = 8

// keep writes all rows of partitions to the backup; when it returns, they are
// on disk.
func (w *tableSweep) keep(ctx context.Context, keys []partition) (int64, error) {
	file, err := w.backup.file(w.rows)
	if err != nil {
		return 0, err
	}
	text := cql.SelectExpressions(w.target.table(w.name), w.rows.expressions(), w.key)
	var p frame
	var mu sync.Mutex
	var wait sync.WaitGroup
	var failed error
	places := make(chan struct{}, keepers)
	for _, key := range keys {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			err := w.rows.read(ctx, w.db, cql.Statement{Text: text, Values: key.values(w.shared), Consistency: w.o.Consistency, PageSize: pageRows}, func(row backupRow) error {
				row.stampNow(w.o.Now)
				row.Generation = w.scan.generation.Load()
				mu.Lock()
				defer mu.Unlock()
				if err := p.add(row); err != nil {
					return err
				}
				return file.spill(&p)
			})
			// A partition that cannot be read for its tombstones has nothing that can be kept.
			if err != nil && cql.KindOf(err) != cql.KindTombstones {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	wait.Wait()
	if failed != nil {
		return 0, failed
	}
	return p.rows, file.commit(&p)
}

// stampNow notes when the seconds to live were read.
func (b *backupRow) stampNow(now func() time.Time) {
	for _, ttl := range b.TTLs {
		if ttl != nil {
			b.At = now().Unix()
			return
		}
	}
}
