// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// dropTable drops the table of an object interface: all guards are looked at
// once more, and it is done when all nodes agree that it is gone.
func (r *run) dropTable(ctx context.Context) error {
	if r.target.Object == nil || r.state.dropped {
		return nil
	}
	if err := checkReinstalled(ctx, r.db, r.state, cql.Quorum); err != nil {
		return err
	}
	gone, err := r.tableGone(ctx)
	if err != nil {
		return err
	}
	if !gone {
		if err := r.exportObject(ctx, cql.FullRing()); err != nil {
			return err
		}
		if err := r.guardDrop(ctx); err != nil {
			return err
		}
		if err := r.append(recordDrop, dropRecord{r.target.Object.Name, r.target.Object.ID.String()}); err != nil {
			return err
		}
		r.say(phaseDrop, "dropping table %s", r.target.Object.Name)
		if err := r.db.Exec(ctx, cql.Statement{Text: cql.Drop(r.target.table(r.target.Object.Name)), Consistency: cql.All}); err != nil {
			return fmt.Errorf("drop table %s: %w", r.target.Object.Name, err)
		}
	} else {
		r.say(phaseDrop, "table %s does not exist any more", r.target.Object.Name)
	}
	if err := waitForAgreement(ctx, r.db); err != nil {
		return fmt.Errorf("drop table %s: it was sent, but %w", r.target.Object.Name, err)
	}
	if gone, err = r.tableGone(ctx); err != nil {
		return err
	}
	if !gone {
		return fmt.Errorf("drop table %s: it is still there after the nodes agreed; run the same command again", r.target.Object.Name)
	}
	return r.append(recordDropped, dropRecord{r.target.Object.Name, r.target.Object.ID.String()})
}

// tableGone says whether the table is gone. Another table of that name is not
// ours to touch.
func (r *run) tableGone(ctx context.Context) (bool, error) {
	tables, err := cql.Tables(ctx, r.db, r.target.Keyspace)
	if err != nil {
		return false, err
	}
	id, ok := tables[r.target.Object.Name]
	if !ok {
		return true, nil
	}
	if id != r.target.Object.ID {
		return false, fmt.Errorf("drop table %s: %w: a new table of that name has the id %s, the one to drop was %s", r.target.Object.Name, ErrReinstalled, id, r.target.Object.ID)
	}
	return false, nil
}

// guardDrop looks once more at all that must hold before a table is dropped.
func (r *run) guardDrop(ctx context.Context) error {
	name := r.target.Object.Name
	cluster, err := r.db.Cluster(ctx)
	if err != nil {
		return err
	}
	if down := cluster.Down(); len(down) > 0 {
		return fmt.Errorf("drop table %s: node %s does not answer; a DROP needs all nodes, and nothing overrides this: bring it up, then run the same command again", name, down[0].Address)
	}
	if err := waitForAgreement(ctx, r.db); err != nil {
		return fmt.Errorf("drop table %s: %w", name, err)
	}
	if r.target.isFixed(name) || name != TableName(r.target.Name, r.target.Major) {
		return fmt.Errorf("drop table %s: it is not the table of %s", name, Title(r.target.Name, r.target.Major))
	}
	all, err := Interfaces(ctx, r.db, r.target.Keyspace)
	if err != nil {
		return err
	}
	for _, row := range all {
		if row.StorageType == storageObject && TableName(row.Name, row.Major) == name {
			return fmt.Errorf("drop table %s: interface %s stores its data there", name, Title(row.Name, row.Major))
		}
	}
	return nil
}

// exportObject writes a part of the object table to the backup, when there is
// one.
func (r *run) exportObject(ctx context.Context, share cql.Range) error {
	if r.backup == nil || r.state.exported || r.state.header.Shards > 0 && r.o.Shard.Role != RoleSweep {
		return nil
	}
	t := r.target.table(r.target.Object.Name)
	f, found, err := newRowFormat(ctx, r.db, t)
	if err != nil || !found {
		return err
	}
	done, err := openRangeMap(filepath.Join(r.journal.Dir, "ranges-export.bin"), r.state.header.Splits, r.o.Now)
	if err != nil {
		return err
	}
	r.say(phaseDrop, "saving table %s", r.target.Object.Name)
	text := cql.SelectRange(t, f.expressions(), objectKey())
	failures, err := r.scan.run(ctx, rangeJob{
		share: share, splits: r.state.header.Splits, page: pageRows, done: done,
		work: func(ctx context.Context, part cql.Range, page int) (rangeCounts, finishRange, error) {
			st := cql.Statement{Text: text, Values: []any{part.Start, part.End}, Consistency: r.o.Consistency, PageSize: page}
			n, err := r.backup.saveAt(ctx, r.db, f, savedRead{st, r.scan.generation.Load()})
			return rangeCounts{Rows: n}, nil, err
		},
		after: func() {
			ranges, total, c := done.Progress()
			r.o.Observe(Event{Phase: phaseDrop, Table: t.Name, Done: int64(ranges), Total: int64(total), Found: c.Rows})
		},
	})
	if err != nil {
		return fmt.Errorf("save table %s: %w", t.Name, err)
	}
	if len(failures) > 0 {
		return fmt.Errorf("save table %s: %d parts of it cannot be read, the first is %s; it is not dropped, for its backup would be incomplete", t.Name, len(failures), failures[0])
	}
	return r.append(recordExported, empty{})
}
