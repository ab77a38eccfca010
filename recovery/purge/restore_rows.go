// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// RestoreReport is what a restore brought back.
type RestoreReport struct {
	Title    string        `json:"title"`
	Tables   []RestorePart `json:"tables"`
	Rows     int64         `json:"rows"`
	Expired  int64         `json:"expired"` // values whose time to live has ended meanwhile
	Verified int64         `json:"verified"`
	Wrong    []string      `json:"wrong,omitempty"`
	Created  string        `json:"createdTable,omitempty"`
	Next     []string      `json:"next,omitempty"`
}

// restore is a restore under way.
type restore struct {
	db      Database
	o       Options
	plan    *RestorePlan
	limiter *cql.Limiter
	state   restoreState
	expired atomic.Int64
	mu      sync.Mutex
	report  RestoreReport
}

// Restore brings back what a purge has saved, and reads all of it back. The row
// of the interface comes last: until then no service knows it, so a restore
// that was interrupted can be begun again.
func Restore(ctx context.Context, db Database, p *RestorePlan, o Options) (*RestoreReport, error) {
	o = o.withDefaults()
	r := &restore{db: db, o: o, plan: p, limiter: cql.NewLimiter(deletesInFlight, mostDeletesInFlight)}
	r.report = RestoreReport{Title: p.Title, Tables: p.Tables, Created: p.Creates}
	var err error
	if r.state, err = p.state(); err != nil {
		return nil, err
	}
	if !p.verify && !p.Done {
		if err := r.write(ctx); err != nil {
			return &r.report, err
		}
	}
	if err := r.verify(ctx); err != nil {
		return &r.report, err
	}
	r.report.Expired = r.expired.Load()
	r.state.Complete = true
	r.report.Next = []string{"restart the data updater, so that it reads the interface again and forgets what it knew of paths"}
	return &r.report, p.keep(r.state)
}

func (r *restore) say(format string, args ...any) {
	r.o.Observe(Event{Phase: phaseRestore, Message: fmt.Sprintf(format, args...)})
}

// write writes everything: the table, the data, the endpoints, and the row.
func (r *restore) write(ctx context.Context) error {
	cluster, err := r.db.Cluster(ctx)
	if err != nil {
		return err
	}
	cut, err := cluster.Cut()
	if err != nil {
		return err
	}
	// Later than every delete of the purge: its cuts were taken before.
	r.state = restoreState{Stamp: cut + 1}
	if err := r.plan.keep(r.state); err != nil {
		return err
	}
	if r.plan.create != "" {
		if err := r.createTable(ctx); err != nil {
			return err
		}
	}
	last := []string{tableEndpoints, tableInterfaces}
	for _, f := range r.plan.files {
		if slices.Contains(last, f.table) {
			continue
		}
		if err := r.file(ctx, f, r.o.Consistency); err != nil {
			return err
		}
	}
	for _, table := range last {
		if table == tableInterfaces {
			// From here on a restore that is run again only verifies.
			r.state.RowStamp = r.state.Stamp + r.rowOffset()
			if err := r.plan.keep(r.state); err != nil {
				return err
			}
		}
		for _, f := range r.plan.files {
			if f.table != table {
				continue
			}
			if err := r.file(ctx, f, cql.All); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *restore) rowOffset() int64 {
	for _, f := range r.plan.files {
		if f.table == tableInterfaces {
			return f.first
		}
	}
	return 0
}

func (r *restore) createTable(ctx context.Context) error {
	r.say("creating table %s", r.plan.Creates)
	if err := waitForAgreement(ctx, r.db); err != nil {
		return fmt.Errorf("create table %s: %w", r.plan.Creates, err)
	}
	if err := r.db.Exec(ctx, cql.Statement{Text: r.plan.create, Consistency: cql.All}); err != nil {
		return fmt.Errorf("create table %s: %w", r.plan.Creates, err)
	}
	if err := waitForAgreement(ctx, r.db); err != nil {
		return fmt.Errorf("create table %s: it was sent, but %w", r.plan.Creates, err)
	}
	return nil
}

// file writes the rows of one file, many at a time.
func (r *restore) file(ctx context.Context, f restoreFile, level cql.Consistency) error {
	r.say("restoring %d rows of %s", f.rows, f.table)
	schema := r.plan.meta.Tables[f.table]
	_, err := r.each(ctx, f, func(ctx context.Context, h backupHeading, row backupRow) error {
		return r.row(ctx, rowWrite{schema, h, row, r.state.Stamp + f.first + row.Generation*stampsPerRow, level})
	})
	if err != nil {
		return fmt.Errorf("restore table %s: %w", f.table, err)
	}
	return nil
}

// each calls do for all rows of a file, many at a time.
func (r *restore) each(ctx context.Context, f restoreFile, do func(context.Context, backupHeading, backupRow) error) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	var done atomic.Int64
	_, err := readBackupFile(f.path, func(h backupHeading, row backupRow) error {
		if err := r.limiter.Acquire(ctx); err != nil {
			return err
		}
		wait.Go(func() {
			err := do(ctx, h, row)
			r.limiter.Release(outcome(err))
			if err != nil {
				cancel(err)
				return
			}
			if n := done.Add(1); n%progressRows == 0 || n == f.rows {
				r.o.Observe(Event{Phase: phaseRestore, Table: f.table, Done: n, Total: f.rows})
			}
		})
		return nil
	})
	wait.Wait()
	if cause := context.Cause(ctx); cause != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = cause
	}
	return done.Load(), err
}

const progressRows = 1000

// rowWrite is one row to write.
type rowWrite struct {
	schema cql.TableSchema
	h      backupHeading
	row    backupRow
	stamp  int64
	level  cql.Consistency
}

// row writes one row: a statement for each time to live that its values have.
func (r *restore) row(ctx context.Context, w rowWrite) error {
	groups, expired := w.byTTL(r.o.Now().Unix())
	r.expired.Add(int64(expired))
	for _, g := range groups {
		if err := r.insert(ctx, w, g); err != nil {
			return err
		}
	}
	return nil
}

// insert writes some columns of a row. Each try has a later timestamp.
func (r *restore) insert(ctx context.Context, w rowWrite, g ttlGroup) error {
	for attempt := 0; ; attempt++ {
		values := slices.Clone(g.values)
		text := cql.Insert(w.schema.Table, g.columns)
		if g.ttl > 0 {
			text = cql.InsertTTL(w.schema.Table, g.columns)
			values = append(values, g.ttl)
		}
		values = append(values, w.stamp+int64(min(attempt, stampsPerRow-1)))
		err := r.db.Exec(ctx, cql.Statement{Text: text, Values: values, Consistency: w.level})
		if err == nil || !cql.KindOf(err).Retriable() || attempt+1 >= r.o.Backoff.Tries {
			return err
		}
		if err := r.o.Backoff.waiter().wait(ctx, attempt); err != nil {
			return err
		}
	}
}

// ttlGroup are columns of a row that expire at the same time; 0 is never.
type ttlGroup struct {
	ttl     int
	columns []string
	values  []any
}

// byTTL divides the values of a row by the seconds that they have left now, and
// counts those that have none. A row of keys alone is one group without values.
func (w rowWrite) byTTL(now int64) (groups []ttlGroup, expired int) {
	keys := w.schema.Names(cql.PartitionKey, cql.Clustering)
	var key ttlGroup
	left := map[int]*ttlGroup{}
	var order []int
	for i, column := range w.h.Columns {
		if slices.Contains(keys, column) {
			key.columns, key.values = append(key.columns, column), append(key.values, cellOf(w.row.Values[i]))
			continue
		}
		if w.row.Values[i] == nil {
			continue
		}
		ttl, ok := w.ttl(column, now)
		if !ok {
			expired++
			continue
		}
		if left[ttl] == nil {
			left[ttl] = &ttlGroup{ttl: ttl}
			order = append(order, ttl)
		}
		left[ttl].columns, left[ttl].values = append(left[ttl].columns, column), append(left[ttl].values, cellOf(w.row.Values[i]))
	}
	if len(order) == 0 && expired == 0 {
		return []ttlGroup{key}, 0
	}
	for _, ttl := range order {
		g := left[ttl]
		groups = append(groups, ttlGroup{ttl, append(slices.Clone(key.columns), g.columns...), append(slices.Clone(key.values), g.values...)})
	}
	return groups, expired
}

// ttl is the seconds that a column's value has left; ok is false when it has
// expired. A column that the server could not tell about goes with the others
// of its row.
func (w rowWrite) ttl(column string, now int64) (seconds int, ok bool) {
	var saved *int64
	if at := slices.Index(w.h.Stamped, column); at >= 0 {
		saved = w.row.TTLs[at]
	} else {
		for _, other := range w.row.TTLs {
			if other != nil {
				saved = other
			}
		}
	}
	if saved == nil {
		return 0, true
	}
	left := w.row.At + *saved - now
	return int(left), left > 0
}

func cellOf(value *[]byte) cql.Cell {
	if value == nil {
		return cql.Cell{Null: true}
	}
	return cql.Cell{Bytes: *value}
}
