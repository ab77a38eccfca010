// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// oldKey is a key of the column old_introspection, a tuple.
type oldKey struct {
	Name  string
	Major int
}

// device is what a scan reads of a device.
type device struct {
	ID            cql.UUID
	Introspection map[string]int
	Old           map[oldKey]int
	Connected     bool
}

func (d *device) declares(name string, major int) bool {
	m, ok := d.Introspection[name]
	return ok && m == major
}

func (d *device) declared(name string, major int) bool {
	_, ok := d.Old[oldKey{name, major}]
	return ok
}

// DeviceUse is which devices declare an interface. What kv_store lists is no
// answer to that: it holds drafts only, and not all of them.
type DeviceUse struct {
	Total              int      `json:"total"`
	Declaring          int      `json:"declaring"`
	Previously         int      `json:"previouslyDeclaring"`
	Connected          int      `json:"connected"` // of all
	DeclaringConnected int      `json:"declaringConnected"`
	Devices            []string `json:"devices,omitempty"` // that declare it, the first of them, sorted
}

// mostDevicesListed bounds what is held in memory; the counts are of all.
const mostDevicesListed = 1000

// eachDevice calls do for every device in a part of the ring, from several
// goroutines at a time.
func eachDevice(ctx context.Context, db Database, s *scanner, job deviceJob) error {
	t := cql.Table{Keyspace: job.keyspace, Name: tableDevices}
	columns := []string{cql.Column(columnDevice), cql.Column("introspection"), cql.Column("old_introspection"), cql.Column("connected")}
	text := cql.SelectRange(t, columns, []string{columnDevice})
	if db.Scylla() {
		text = cql.BypassCache(text)
	}
	failures, err := s.run(ctx, rangeJob{
		share: job.share, splits: deviceRanges, page: pageDevices,
		work: func(ctx context.Context, r cql.Range, page int) (rangeCounts, finishRange, error) {
			rows := db.Rows(ctx, cql.Statement{Text: text, Values: []any{r.Start, r.End}, Consistency: job.level, PageSize: page})
			for {
				var d device
				if !rows.Scan(&d.ID, &d.Introspection, &d.Old, &d.Connected) {
					break
				}
				if err := job.do(ctx, &d); err != nil {
					_ = rows.Close()
					return rangeCounts{}, nil, err
				}
			}
			return rangeCounts{}, nil, rows.Close()
		},
	})
	if err != nil {
		return fmt.Errorf("read devices: %w", err)
	}
	if len(failures) > 0 {
		return fmt.Errorf("read devices: %d parts of the table cannot be read, the first is %s", len(failures), failures[0])
	}
	return nil
}

// deviceRanges is in how many parts devices are read: their number is not
// known before, and an empty range costs a millisecond.
const deviceRanges = 128

type deviceJob struct {
	keyspace string
	share    cql.Range
	level    cql.Consistency
	do       func(context.Context, *device) error
}

// countDevices finds the devices that declare the target, or did.
func countDevices(ctx context.Context, db Database, s *scanner, t *Target) (DeviceUse, error) {
	var mu sync.Mutex
	var use DeviceUse
	seen := map[cql.UUID]bool{} // of those listed: a range may be read twice
	err := eachDevice(ctx, db, s, deviceJob{keyspace: t.Keyspace, share: cql.FullRing(), level: cql.Quorum, do: func(_ context.Context, d *device) error {
		mu.Lock()
		defer mu.Unlock()
		use.Total++
		if d.Connected {
			use.Connected++
		}
		switch {
		case d.declares(t.Name, t.Major):
			use.Declaring++
			if d.Connected {
				use.DeclaringConnected++
			}
			if len(seen) < mostDevicesListed && !seen[d.ID] {
				seen[d.ID] = true
				use.Devices = append(use.Devices, DeviceID(d.ID))
			}
		case d.declared(t.Name, t.Major):
			use.Previously++
		}
		return nil
	}})
	slices.Sort(use.Devices)
	return use, err
}
