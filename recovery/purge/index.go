// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// indexPays says whether the index pass is worth its reads: one a device that
// declares the interface, against one scan less over the whole table.
func (r *run) indexPays() bool {
	if !r.target.readsDatastreams() || r.o.Shard.Count > 1 {
		return false
	}
	candidates := int64(r.plan.Devices.Declaring + r.plan.Devices.Previously)
	return candidates > 0 && candidates*partitionsPerRead <= r.plan.Partitions
}

// partitionsPerRead is how many keys a scan reads in the time of one read of a
// partition.
const partitionsPerRead = 25

// devicesInFlight is how many devices the index pass works on at a time.
const devicesInFlight = 64

// index deletes the partitions of individual_datastreams whose keys the path
// rows of the devices tell. It finds almost everything without a scan over the
// data, and it reaches partitions that a scan cannot read over. It is not
// complete: path rows expire, and devices may be gone.
func (s *sweep) index(ctx context.Context) (rangeCounts, error) {
	s.say(phaseSweep, "deleting by the paths that the devices have published on")
	pass := &indexPass{sweep: s, work: &tableSweep{sweep: s, shared: shared{tableDatastreams, datastreamsKey(), kindValues}}}
	pass.work.deleteText = cql.Delete(s.target.table(tableDatastreams), datastreamsKey())
	if s.backup != nil {
		var err error
		if pass.work.rows, err = s.format(ctx, tableDatastreams); err != nil {
			return rangeCounts{}, err
		}
	}
	devices, ctx := errgroup.WithContext(ctx)
	devices.SetLimit(devicesInFlight)
	visit := func(id cql.UUID) { devices.Go(func() error { return pass.device(ctx, id) }) }
	err := eachDevice(ctx, s.db, s.scan, deviceJob{keyspace: s.target.Keyspace, share: s.share, level: s.o.Consistency, do: func(_ context.Context, d *device) error {
		if d.declares(s.target.Name, s.target.Major) || d.declared(s.target.Name, s.target.Major) {
			visit(d.ID)
		}
		return nil
	}})
	if err == nil {
		err = s.eachListed(ctx, visit)
	}
	if failed := devices.Wait(); failed != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = failed
	}
	return pass.counts, err
}

// eachListed calls visit for the devices that kv_store lists as having data on
// a draft.
func (s *sweep) eachListed(ctx context.Context, visit func(cql.UUID)) error {
	rows := s.db.Rows(ctx, cql.Statement{
		Text:   cql.Select(s.target.table(tableKV), []string{columnKey}, []string{columnGroup}),
		Values: []any{DataGroup(s.target.Name, s.target.Major)}, Consistency: s.o.Consistency, PageSize: pageKeys,
	})
	var key string
	for rows.Scan(&key) {
		if id, err := ParseDeviceID(key); err == nil {
			visit(id)
		}
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("read devices with data: %w", err)
	}
	return nil
}

type indexPass struct {
	*sweep
	work *tableSweep

	mu     sync.Mutex
	counts rangeCounts
}

// device deletes the partitions that the path rows of one device name. The path
// rows themselves stay until the scan over the values has found nothing more.
func (x *indexPass) device(ctx context.Context, id cql.UUID) error {
	rows := x.db.Rows(ctx, cql.Statement{
		Text:   cql.Select(x.target.table(tableProperties), []string{columnEndpoint, columnPath}, propertiesKey()),
		Values: []any{id, x.target.ID}, Consistency: x.o.Consistency, PageSize: pageKeys,
	})
	group := x.work.deletes.begin()
	var counts rangeCounts
	var err error
	p := partition{device: id, iface: x.target.ID}
	var chunk []partition
	for err == nil && rows.Scan(&p.endpoint, &p.path) {
		if chunk = append(chunk, p); len(chunk) >= chunkOfKeys {
			err = x.work.chunk(ctx, group, chunk, &counts)
			chunk = chunk[:0]
		}
	}
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if err == nil && len(chunk) > 0 {
		err = x.work.chunk(ctx, group, chunk, &counts)
	}
	deleted, failed := group.end()
	if err == nil {
		err = failed
	}
	counts.Datastreams += deleted
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts.add(counts)
	if err != nil {
		return fmt.Errorf("delete data of device %s: %w", DeviceID(id), err)
	}
	return nil
}
