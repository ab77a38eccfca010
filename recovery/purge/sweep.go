// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// sweepAll sweeps until a sweep finds nothing that is not newer than its cut
// and that the sweep before could have deleted: then nobody writes any more.
func (r *run) sweepAll(ctx context.Context) error {
	first := r.nextSweep()
	if first == 0 {
		return nil
	}
	for i := first; i < first+mostSweeps; i++ {
		if err := checkReinstalled(ctx, r.db, r.state, cql.Quorum); err != nil {
			return err
		}
		result, err := r.sweep(ctx, i)
		if err != nil {
			return err
		}
		if result.Failed > 0 {
			return fmt.Errorf("%w: %d ranges of tokens could not be swept, the journal %s names them; run the same command again when the database is well", ErrIncomplete, result.Failed, r.journal.Dir)
		}
		if result.Found == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: writers are still active: each of %d sweeps found new data; stop the data updater or the devices that publish on it, then run the same command again with --writers-stopped", ErrIncomplete, mostSweeps)
}

// nextSweep is the number of the sweep to do next; 0 when the last one found
// nothing.
func (r *run) nextSweep() int {
	next := 1
	for i, s := range r.state.sweeps {
		if s.Found == 0 && s.Failed == 0 && i > r.state.resweep {
			return 0
		}
		next = max(next, i+1)
	}
	return next
}

// sweep deletes all data that is not newer than a cut.
func (r *run) sweep(ctx context.Context, i int) (sweptRecord, error) {
	cut, err := r.cut(ctx, i)
	if err != nil {
		return sweptRecord{}, err
	}
	r.say(phaseSweep, "sweep %d: deleting what was written up to %s", i, formatMicros(cut))
	s := &sweep{run: r, number: i, cut: cut, share: ringShare(r.o.Shard.Index, r.o.Shard.Count)}
	result := sweptRecord{Sweep: i}
	if i == 1 && r.indexPays() {
		failed, err := s.index(ctx, true, &result)
		if err != nil {
			return result, err
		}
		if failed == 0 && result.Found > 0 {
			// Another sweep follows, since this one has found something, and it looks
			// at everything.
			return result, r.append(recordSwept, result)
		}
	}
	// Values before path rows: those name the partitions of the values.
	tables := r.target.sweeps()
	for at := len(tables) - 1; at >= 0; at-- {
		failed, err := s.table(ctx, tables[at], &result)
		if err != nil {
			return result, err
		}
		result.Failed += failed
		if failed > 0 {
			break
		}
	}
	return result, r.append(recordSwept, result)
}

// sweep is one pass over all data of the target.
type sweep struct {
	*run
	number int
	cut    int64
	share  cql.Range
}

// table sweeps one table, and returns how many of its ranges failed.
func (s *sweep) table(ctx context.Context, t shared, result *sweptRecord) (failed int, err error) {
	work, err := s.over(ctx, t)
	if err != nil {
		return 0, err
	}
	p := pass{tableSweep: work, file: t.name, job: rangeJob{share: s.share, splits: s.splits(), page: pageKeys, work: work.sweepRange, whole: true}}
	return p.run(ctx, result)
}

// over prepares the work on a table.
func (s *sweep) over(ctx context.Context, t shared) (*tableSweep, error) {
	filter, err := s.serverFilters(ctx, t)
	if err != nil {
		return nil, err
	}
	work := &tableSweep{sweep: s, shared: t, text: s.scanText(t, filter), filter: filter}
	if work.deleteText = cql.Delete(s.target.table(t.name), t.key); s.backup != nil {
		if work.rows, err = s.format(ctx, t.name); err != nil {
			return nil, err
		}
	}
	return work, nil
}

// pass goes once over a table.
type pass struct {
	*tableSweep
	file string // its name in that of the file that remembers its ranges; "": nothing is remembered
	job  rangeJob
}

// run goes over the table, adds up what it has deleted, and returns how many
// ranges failed.
func (p pass) run(ctx context.Context, result *sweptRecord) (failed int, err error) {
	var path string
	if p.file != "" {
		path = filepath.Join(p.journal.Dir, fmt.Sprintf("ranges-%s-%d.bin", p.file, p.number))
	}
	done, err := openRangeMap(path, p.job.splits, p.o.Now)
	if err != nil {
		return 0, err
	}
	p.job.done, p.job.after = done, func() {
		ranges, total, c := done.Progress()
		p.o.Observe(Event{Phase: phaseSweep, Table: p.name, Sweep: p.number, Done: int64(ranges), Total: int64(total), Found: c.Found, Deleted: c.Datastreams + c.Properties})
	}
	failures, err := p.scan.run(ctx, p.job)
	if err == nil && len(failures) > 0 && p.job.whole {
		failures, err = p.again(ctx, p.shared, p.job, failures)
	}
	_, _, c := done.Progress()
	result.Found += c.Found
	result.Future += c.Future
	result.Counts = result.Counts.plus(c.counts())
	if err != nil {
		return len(failures), fmt.Errorf("sweep table %s: %w", p.name, err)
	}
	for _, f := range failures {
		p.warn(phaseSweep, "table %s: %s", p.name, f)
		if err := p.append(recordFailed, failureRecord{p.name, p.number, f.Range.Start, f.Range.End, f.Err.Error()}); err != nil {
			return len(failures), err
		}
	}
	return len(failures), nil
}

// again tries once more what failed: partitions of the target that are full of
// tombstones stop every scan over them, but a partition deleted whole does not,
// and the path rows give its key.
func (s *sweep) again(ctx context.Context, t shared, job rangeJob, failures []rangeFailure) ([]rangeFailure, error) {
	s.warn(phaseSweep, "table %s: %d ranges cannot be read, for %v; deleting the interface's partitions there by the keys that its path rows give", t.name, len(failures), failures[0].Err)
	if t.name == tableDatastreams {
		// What this deletes is not counted: it may not have been there.
		if _, err := s.index(ctx, false, &sweptRecord{}); err != nil {
			return failures, err
		}
	}
	var left []rangeFailure
	job.whole = false
	for _, f := range failures {
		counts, failed, err := s.scan.process(ctx, job.bounded(), f.Range, 0)
		job.done.Add(counts)
		left = append(left, failed...)
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

func (s *sweep) splits() int {
	n := s.state.header.Splits
	if s.o.Shard.Count > 1 {
		n = max(leastRanges, n/s.o.Shard.Count)
	}
	return n
}

// serverFilters finds out, once a table, whether the server filters a scan by
// the interface itself: Cassandra does, unless a guardrail forbids it, and
// ScyllaDB does not.
func (r *run) serverFilters(ctx context.Context, t shared) (bool, error) {
	if known, ok := r.filters[t.name]; ok {
		return known, nil
	}
	if r.db.Scylla() {
		r.filters[t.name] = false
		return false, nil
	}
	var id cql.UUID
	probe := cql.RingRange(0, mostRanges)
	dest := []any{&id, &id, &id, new(string)}[:len(t.key)]
	_, err := readOne(ctx, r.db, cql.Statement{
		Text:   cql.SelectKeysOf(r.target.table(t.name), t.key, columnInterface),
		Values: []any{probe.Start, probe.End, r.target.ID}, Consistency: r.o.Consistency, PageSize: pageKeys,
	}, dest...)
	switch kind := cql.KindOf(err); {
	case err == nil:
		r.filters[t.name] = true
	case kind == cql.KindInvalid, kind == cql.KindGuardrail, kind == cql.KindTombstones, kind.Retriable():
		r.filters[t.name] = false
	default:
		return false, fmt.Errorf("sweep table %s: %w", t.name, err)
	}
	return r.filters[t.name], nil
}

func (r *run) scanText(t shared, filter bool) string {
	table := r.target.table(t.name)
	if filter {
		return cql.SelectKeysOf(table, t.key, columnInterface)
	}
	text := cql.SelectKeys(table, t.key)
	if r.db.Scylla() {
		text = cql.BypassCache(text)
	}
	return text
}

// partition is the key of a partition of one of the shared tables.
type partition struct {
	device, iface, endpoint cql.UUID
	path                    string
}

func (p *partition) dest(t shared) []any {
	return []any{&p.device, &p.iface, &p.endpoint, &p.path}[:len(t.key)]
}

func (p partition) values(t shared) []any {
	return []any{p.device, p.iface, p.endpoint, p.path}[:len(t.key)]
}

func (p partition) String() string {
	s := "device " + DeviceID(p.device)
	if p.path != "" {
		s += " path " + p.path
	}
	return strings.TrimSpace(s)
}
