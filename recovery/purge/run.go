// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/time/rate"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// run is one purge under way, in one process.
type run struct {
	db      Database
	o       Options
	plan    *Plan
	target  Target
	journal *Journal
	state   *state
	backup  *backup // nil: rows are not kept
	scan    *scanner
	deletes *deleter
	started time.Time
	filters map[string]bool // tables whose scans the server filters
	future  futureRows
	formats rowFormats
}

// Execute carries out a plan that was confirmed. An error after the first
// change is a [StoppedError], [ErrIncomplete] or [ErrReinstalled]; the same
// command goes on where this one ended.
func Execute(ctx context.Context, db Database, p *Plan, o Options) (*Report, error) {
	o = o.withDefaults()
	enter := begin
	if o.Shard.Role == RoleSweep {
		enter = beginShard
	}
	r, err := enter(db, p, o)
	if err != nil {
		return nil, err
	}
	switch o.Shard.Role {
	case RolePrepare:
		err = r.prepareShards(ctx)
	case RoleSweep:
		err = r.sweepShard(ctx)
	case RoleFinish:
		err = r.finishShards(ctx)
	case RoleWhole:
		err = r.whole(ctx)
	}
	report := r.report()
	return report, r.end(err)
}

// begin opens the journal, and writes its header when the purge is new.
func begin(db Database, p *Plan, o Options) (*run, error) {
	if err := p.CheckAllowed(o.Allowed); err != nil {
		return nil, err
	}
	r := newRun(db, p, o)
	dir := p.Resumes
	if dir == "" {
		// The folder of the interface is locked while a new purge is begun, or two
		// could begin at once.
		parent := runsDir(o.Journal, p.Keyspace, p.Target.Name, p.Target.Major)
		gate, _, err := OpenJournal(filepath.Join(parent, ".begin"), o.Now)
		if err != nil {
			return nil, err
		}
		defer func() { _ = gate.Close() }()
		past, err := lastRun(o.Journal, p.Keyspace, p.Target.Name, p.Target.Major)
		if err != nil {
			return nil, err
		}
		if past != nil && !past.state.closed {
			return nil, fmt.Errorf("%w: it was begun a moment ago, in %s; run the command again to join it", ErrLocked, past.dir)
		}
		dir = filepath.Join(parent, ulid.MustNew(ulid.Timestamp(o.Now()), rand.Reader).String())
	}
	if err := r.open(dir); err != nil {
		return nil, err
	}
	return r, nil
}

func newRun(db Database, p *Plan, o Options) *run {
	nodes := max(1, len(p.Nodes.Nodes)-len(p.Nodes.Down()))
	limit := rate.Inf
	if o.DeletesPerSecond > 0 {
		limit = rate.Limit(o.DeletesPerSecond)
	}
	return &run{
		db: db, o: o, plan: p, target: *p.Target, started: o.Now(), filters: map[string]bool{}, formats: rowFormats{of: map[string]rowFormat{}},
		scan: newScanner(db, nodes, o.Backoff),
		deletes: &deleter{
			db: db, level: o.Consistency, backoff: o.Backoff,
			limiter: cql.NewLimiter(deletesInFlight, mostDeletesInFlight),
			rate:    rate.NewLimiter(limit, max(1, o.DeletesPerSecond/10)),
		},
	}
}

// open takes the journal, and what it says goes before what the plan says.
func (r *run) open(dir string) error {
	j, records, err := OpenJournal(dir, r.o.Now)
	if err != nil {
		return err
	}
	r.journal = j
	r.state, err = replay(records)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	if r.state.header == nil {
		err = r.writeHeader()
	}
	if err == nil {
		err = r.adopt()
	}
	if err != nil {
		return errors.Join(err, j.Close())
	}
	return nil
}

func (r *run) writeHeader() error {
	h := Header{
		Format: journalFormat, ID: filepath.Base(r.journal.Dir), Version: r.o.Version, Digest: r.plan.Digest,
		Allowed: r.o.Allowed, User: r.o.User, Target: *r.plan.Target, Splits: splitsFor(r.plan.Partitions),
		Consistency: r.o.Consistency.String(), Backup: r.o.Backup, Shards: r.o.Shard.Count, Created: r.o.Now().UTC(),
	}
	for _, n := range r.plan.Nodes.Nodes {
		h.Nodes = append(h.Nodes, n.HostID+" "+n.Version)
	}
	if err := r.append(recordHeader, h); err != nil {
		return err
	}
	r.say(phaseJournal, "the journal is %s; if this is interrupted, run the same command again", r.journal.Dir)
	return nil
}

// adopt takes over what the journal fixed when the purge was begun.
func (r *run) adopt() error {
	h := r.state.header
	r.target = h.Target
	if r.o.Backup != "" && h.Backup != r.o.Backup {
		return fmt.Errorf("resume purge: it was begun with --backup %q, and %q would hold a part only; use the first, or leave --backup out", h.Backup, r.o.Backup)
	}
	if h.Shards != r.o.Shard.Count {
		return fmt.Errorf("resume purge: it was begun as %d shards; go on with the same --shard, or move the journal %s away", h.Shards, r.journal.Dir)
	}
	if h.Backup == "" {
		return nil
	}
	var err error
	r.backup, err = openBackup(backupDir(h.Backup, r.o.Shard), h, r.o.Now)
	return err
}

// append writes a record and applies it to the state.
func (r *run) append(kind string, data any) error {
	record, err := r.journal.Append(kind, data)
	if err != nil {
		return err
	}
	return r.state.apply(record)
}

// end closes the journal, and tells an error before the first change from one
// after it.
func (r *run) end(err error) error {
	var errs []error
	if r.backup != nil {
		errs = append(errs, r.backup.Close())
	}
	errs = append(errs, r.journal.Close())
	if err != nil && r.state.detach != 0 {
		err = &StoppedError{err: err}
	}
	return errors.Join(append([]error{err}, errs...)...)
}

func (r *run) say(phase, format string, args ...any) {
	r.o.Observe(Event{Phase: phase, Message: fmt.Sprintf(format, args...)})
}

func (r *run) warn(phase, format string, args ...any) {
	r.o.Observe(Event{Phase: phase, Message: fmt.Sprintf(format, args...), Warning: true})
}

// whole is the purge in one process.
func (r *run) whole(ctx context.Context) error {
	if r.state.closed {
		return nil
	}
	for _, phase := range []func(context.Context) error{
		r.saveDefinition, r.detachRow, r.quiesce, r.sweepAll, r.dropTable, r.deleteGroups, r.verify, r.closeRun,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

// closeRun ends the purge for good.
func (r *run) closeRun(context.Context) error {
	if r.backup != nil {
		if err := r.backup.Finish(); err != nil {
			return err
		}
	}
	if err := r.append(recordClosed, empty{}); err != nil {
		return err
	}
	return r.writeReport()
}

func formatMicros(us int64) string {
	return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000Z")
}
