// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-dev/holdfast/recovery/cql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// deletesInFlight is what a purge begins with.
const deletesInFlight = 128

// deletesAlone deletes partitions whose keys are at hand, as the manual's file of
// DELETE statements has them, with the session, the statement and the number in
// flight of a purge.
func (b *bench) deletesAlone(ctx context.Context, size int) (took time.Duration, err error) {
	progress("deleting %d partitions whose keys are at hand", size)
	r, err := b.fill(ctx, "del"+strconv.Itoa(size), size, 1)
	if err != nil {
		return 0, err
	}
	db, err := cql.Open(ctx, cql.Config{Hosts: b.cluster.Hosts})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	table, err := cql.NewTable(r.Keyspace, "individual_datastreams")
	if err != nil {
		return 0, err
	}
	text := cql.Delete(table, []string{"device_id", "interface_id", "endpoint_id", "path"})
	endpoint := realm.EndpointID(target(0).Name, 1, target(0).Mappings[0].Endpoint)
	b.prioritize(raised)
	defer b.prioritize(0)
	cut := time.Now().Add(time.Minute).UnixMicro()
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(deletesInFlight)
	begun := time.Now()
	for _, device := range realm.DeviceIDs(0, size/pathsPerDevice) {
		for path := range pathsPerDevice {
			key := []any{cut, device, target(0).ID(), endpoint, "/" + strconv.Itoa(path) + "/value"}
			group.Go(func() error {
				return db.Exec(within, cql.Statement{Text: text, Values: key, Consistency: cql.Quorum})
			})
		}
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	took = time.Since(begun)
	var left int
	if err := r.Session.Query("SELECT count(*) FROM " + r.Keyspace + ".individual_datastreams").WithContext(ctx).Scan(&left); err != nil {
		return 0, fmt.Errorf("count what is left: %w", err)
	}
	if left != 0 {
		return 0, fmt.Errorf("delete alone: %d rows are left", left)
	}
	return took, r.Drop(ctx)
}
