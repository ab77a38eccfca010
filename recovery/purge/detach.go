// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// degraded says whether the user accepted that nodes are down, and some are:
// then the row is deleted where it can be.
func (r *run) degraded() bool { return len(r.plan.Nodes.Down()) > 0 }

// rowLevels are the consistency levels at which rows that Astarte reads at ONE
// are deleted and read back. All replicas must have the delete, or one of them
// would go on showing the row.
func (r *run) rowLevels() (write, read cql.Consistency) {
	if r.degraded() {
		return cql.EachQuorum, cql.Quorum
	}
	return cql.All, cql.All
}

// detachRow deletes the row of the interface and its endpoints, all or nothing.
func (r *run) detachRow(ctx context.Context) error {
	write, read := r.rowLevels()
	if err := checkReinstalled(ctx, r.db, r.state, read); err != nil {
		return err
	}
	if r.state.detached {
		return nil
	}
	r.say(phaseDetach, "deleting the row of %s and its endpoints on all nodes", Title(r.target.Name, r.target.Major))
	if r.state.detach == 0 {
		// Before it is announced: that all replicas can answer, for a delete at ALL
		// that times out is partly done.
		if _, err := readRow(ctx, r.db, &r.target, read); err != nil {
			return err
		}
		cluster, err := r.db.Cluster(ctx)
		if err != nil {
			return err
		}
		stamp, err := cluster.Cut()
		if err != nil {
			return err
		}
		if err := r.append(recordDetach, stampRecord{stamp}); err != nil {
			return err
		}
	}
	if err := r.db.Batch(ctx, detachStatements(&r.target, r.state.detach, write)); err != nil {
		return fmt.Errorf("delete row of interface: %w", err)
	}
	if err := r.checkDetached(ctx, read); err != nil {
		return err
	}
	return r.append(recordDetached, empty{})
}

func detachStatements(t *Target, stamp any, level cql.Consistency) []cql.Statement {
	return []cql.Statement{
		{Text: cql.Delete(t.table(tableEndpoints), []string{columnInterface}), Values: []any{stamp, t.ID}, Consistency: level},
		{Text: cql.Delete(t.table(tableInterfaces), []string{columnName, columnMajor}), Values: []any{stamp, t.Name, t.Major}, Consistency: level},
	}
}

// checkDetached reads back that row and endpoints are gone.
func (r *run) checkDetached(ctx context.Context, level cql.Consistency) error {
	row, err := readRow(ctx, r.db, &r.target, level)
	if err != nil {
		return err
	}
	if row.found {
		return fmt.Errorf("delete row of interface: it is still there, written at %s, which is later than the database's clock said (%s); check the clocks of the nodes and of whoever wrote it", formatMicros(row.written), formatMicros(r.state.detach))
	}
	left, err := readEndpoints(ctx, r.db, &r.target, level)
	if err != nil {
		return err
	}
	if left.count > 0 {
		return fmt.Errorf("delete endpoints of interface: %d are still there; run the same command again", left.count)
	}
	return nil
}

// quiesce waits until services that knew the interface have forgotten it.
func (r *run) quiesce(ctx context.Context) error {
	if r.state.quiesce == nil {
		q := quiesceRecord{Method: "wait", Until: r.o.Now().Add(r.o.QuiesceFor).UTC()}
		if r.o.WritersStopped {
			q = quiesceRecord{Method: "writers stopped", Until: r.o.Now().UTC()}
		}
		if err := r.append(recordQuiesce, q); err != nil {
			return err
		}
	}
	until := r.state.quiesce.Until
	if r.o.WritersStopped {
		until = r.o.Now()
	}
	if left := until.Sub(r.o.Now()); left > 0 {
		r.say(phaseQuiesce, "waiting %s for the data updater to forget the interface; its queue cannot be seen from here, so the sweeps are what proves that nobody writes any more (restart it and use --writers-stopped to skip the wait)", left.Round(time.Second))
	}
	begun := r.o.Now()
	for {
		left := until.Sub(r.o.Now())
		if left <= 0 {
			return ctx.Err()
		}
		total := until.Sub(begun)
		r.o.Observe(Event{Phase: phaseQuiesce, Done: int64((total - left).Seconds()), Total: int64(total.Seconds())})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, time.Second)):
		}
	}
}

// cut takes the time up to which sweep i deletes. It is on disk before the
// first delete, and the same after a crash: data of an interface that was
// installed again is never older.
func (r *run) cut(ctx context.Context, i int) (int64, error) {
	if stamp, ok := r.state.cuts[i]; ok {
		return stamp, nil
	}
	cluster, err := r.db.Cluster(ctx)
	if err != nil {
		return 0, err
	}
	stamp, err := cluster.Cut()
	if err != nil {
		return 0, err
	}
	return stamp, r.append(recordCut, cutRecord{i, stamp})
}
