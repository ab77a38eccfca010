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

// keys calls found with each key of the target's in a range.
func (w *tableSweep) keys(ctx context.Context, r cql.Range, page int, found func(partition) error) error {
	values := []any{r.Start, r.End}
	if w.filter {
		values = append(values, w.target.ID)
	}
	rows := w.db.Rows(ctx, cql.Statement{Text: w.text, Values: values, Consistency: w.o.Consistency, PageSize: page})
	var p partition
	var err error
	for dest := p.dest(w.shared); err == nil && rows.Scan(dest...); {
		if p.iface == w.target.ID {
			err = found(p)
		}
	}
	if closed := rows.Close(); err == nil {
		err = closed
	}
	return err
}

// sweepRange finds the target's partitions in a range, and begins to delete
// them.
func (w *tableSweep) sweepRange(ctx context.Context, r cql.Range, page int) (rangeCounts, finishRange, error) {
	b := w.begin()
	err := w.keys(ctx, r, page, func(p partition) error { return b.add(ctx, p) })
	if err == nil {
		err = b.flush(ctx)
	}
	return rangeCounts{}, b.end, err
}

// batch is partitions of one table that are deleted, and waited for together.
type batch struct {
	*tableSweep
	group  *deletions
	chunk  []partition
	counts rangeCounts
}

func (w *tableSweep) begin() *batch { return &batch{tableSweep: w, group: w.deletes.begin()} }

// add begins to delete a partition; what is looked at before waits for others.
func (b *batch) add(ctx context.Context, p partition) error {
	if b.backup == nil && b.number < futureFrom {
		return b.group.add(ctx, b.deleteText, append([]any{b.cut}, p.values(b.shared)...)...)
	}
	if b.chunk = append(b.chunk, p); len(b.chunk) < chunkOfKeys {
		return nil
	}
	return b.flush(ctx)
}

// flush begins to delete what has waited.
func (b *batch) flush(ctx context.Context) error {
	keys := b.chunk
	b.chunk = b.chunk[:0]
	if len(keys) == 0 {
		return nil
	}
	return b.tableSweep.chunk(ctx, b.group, keys, &b.counts)
}

// end waits for all deletes, and counts them.
func (b *batch) end() (rangeCounts, error) {
	deleted, err := b.group.end()
	counts := b.counts
	counts.Found += deleted - counts.Future
	counts.deleted(b.name, deleted)
	return counts, err
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
