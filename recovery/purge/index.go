// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// indexPays says whether the first sweep goes by the path rows: one read for
// each device that has published, against one scan less over the whole table
// of values.
func (r *run) indexPays() bool {
	if !r.target.readsDatastreams() || !r.target.Properties || r.o.Shard.Count > 1 {
		return false
	}
	for _, t := range r.plan.Traces {
		if t.Table == tableProperties {
			return t.Estimate > 0 && t.Estimate*partitionsPerRead <= r.plan.Partitions
		}
	}
	return false
}

// partitionsPerRead is how many keys a scan reads in the time of one read of a
// partition.
const partitionsPerRead = 25

// Bounds of the work by path rows.
const (
	devicesTogether = 16 // whose path rows are read one after the other
	groupsInFlight  = 32 // of such devices
)

// indexPass deletes the partitions of individual_datastreams whose keys the
// path rows tell. It finds almost everything without a scan over the values, and
// it reaches partitions that a scan cannot read over. It is not complete: path
// rows expire, and a value can be written before its path.
type indexPass struct {
	values, paths *tableSweep
	text          string
	alsoPaths     bool // the path rows go when the values are gone that they name
	places        chan struct{}
}

// index deletes by the path rows in the whole ring, and returns how many ranges
// of them failed.
func (s *sweep) index(ctx context.Context, alsoPaths bool, result *sweptRecord) (failed int, err error) {
	s.say(phaseSweep, "deleting by the paths that the devices have published on")
	x := &indexPass{
		text:      cql.Select(s.target.table(tableProperties), []string{columnEndpoint, columnPath}, propertiesKey()),
		alsoPaths: alsoPaths, places: make(chan struct{}, groupsInFlight),
	}
	if x.values, err = s.over(ctx, shared{tableDatastreams, datastreamsKey(), kindValues}); err != nil {
		return 0, err
	}
	if x.paths, err = s.over(ctx, shared{tableProperties, propertiesKey(), kindPaths}); err != nil {
		return 0, err
	}
	p := pass{tableSweep: x.paths, file: "paths", job: rangeJob{share: cql.FullRing(), splits: s.state.header.Splits, page: pageKeys, work: x.sweepRange}}
	if !alsoPaths {
		// What is deleted is found again by the next scan: nothing is remembered.
		p.file = ""
	}
	return p.run(ctx, result)
}

// sweepRange finds the target's path rows in a range, and begins to delete by
// them.
func (x *indexPass) sweepRange(ctx context.Context, r cql.Range, page int) (rangeCounts, finishRange, error) {
	work := &indexRange{indexPass: x}
	var together []partition
	err := x.paths.keys(ctx, r, page, func(p partition) error {
		together = append(together, p)
		if len(together) < devicesTogether {
			return nil
		}
		err := work.begin(ctx, together)
		together = nil
		return err
	})
	if err == nil && len(together) > 0 {
		err = work.begin(ctx, together)
	}
	return rangeCounts{}, work.end, err
}

// indexRange is the work on one range.
type indexRange struct {
	*indexPass
	wait sync.WaitGroup

	mu     sync.Mutex
	counts rangeCounts
	err    error
}

// begin works on some devices, and waits only until it may.
func (x *indexRange) begin(ctx context.Context, devices []partition) error {
	select {
	case x.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	x.wait.Go(func() {
		defer func() { <-x.places }()
		counts, err := x.devices(ctx, devices)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.counts.add(counts)
		if x.err == nil {
			x.err = err
		}
	})
	return nil
}

func (x *indexRange) end() (rangeCounts, error) {
	x.wait.Wait()
	return x.counts, x.err
}

// devices deletes the partitions that the path rows of some devices name, and
// then, when they are all gone, the path rows.
func (x *indexPass) devices(ctx context.Context, devices []partition) (rangeCounts, error) {
	values := x.values.begin()
	var err error
	for _, p := range devices {
		if err = x.device(ctx, values, p); err != nil {
			break
		}
	}
	if err == nil {
		err = values.flush(ctx)
	}
	counts, failed := values.end()
	if err == nil {
		err = failed
	}
	if err != nil || !x.alsoPaths {
		return counts, err
	}
	paths := x.paths.begin()
	for _, p := range devices {
		if err == nil {
			err = paths.add(ctx, p)
		}
	}
	if err == nil {
		err = paths.flush(ctx)
	}
	more, failed := paths.end()
	counts.add(more)
	if err == nil {
		err = failed
	}
	return counts, err
}

// device begins to delete the partitions that the path rows of one device name.
func (x *indexPass) device(ctx context.Context, values *batch, p partition) error {
	rows := values.db.Rows(ctx, cql.Statement{
		Text: x.text, Values: []any{p.device, p.iface}, Consistency: values.o.Consistency, PageSize: pageKeys,
	})
	var err error
	for err == nil && rows.Scan(&p.endpoint, &p.path) {
		err = values.add(ctx, p)
	}
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("delete data of device %s: %w", DeviceID(p.device), err)
	}
	return nil
}
