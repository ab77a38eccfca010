// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gocql/gocql"
)

// Realm is a realm in a database.
type Realm struct {
	Names
	Version Version
	Session *gocql.Session
}

// Create makes an empty realm.
func Create(ctx context.Context, session *gocql.Session, v Version, n Names) (*Realm, error) {
	r := &Realm{Names: n, Version: v, Session: session}
	for _, statement := range Schema(v, n) {
		if err := r.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Drop removes the realm and its line in the list of realms.
func (r *Realm) Drop(ctx context.Context) error {
	if err := r.Exec(ctx, "DROP KEYSPACE "+r.Keyspace); err != nil {
		return err
	}
	return r.Exec(ctx, "DELETE FROM "+r.Astarte+".realms WHERE realm_name = ?", r.Realm)
}

// Exec runs one statement.
func (r *Realm) Exec(ctx context.Context, statement string, values ...any) error {
	if err := r.Session.Query(statement, values...).WithContext(ctx).Exec(); err != nil {
		return fmt.Errorf("execute %q: %w", statement, err)
	}
	return nil
}

// Install adds an interface as Astarte does: its row, its endpoints, and the
// table that it needs.
func (r *Realm) Install(ctx context.Context, i Interface) error {
	switch i.Kind {
	case Properties: // its table is always there
	case Datastream:
		for _, statement := range Datastreams(r.Version, r.Keyspace) {
			if err := r.Exec(ctx, statement); err != nil {
				return err
			}
		}
	case Object:
		if err := r.Exec(ctx, ObjectSchema(r.Keyspace, i)); err != nil {
			return err
		}
	}
	return r.Register(ctx, i)
}

// Register writes the interface's row and endpoints alone.
func (r *Realm) Register(ctx context.Context, i Interface) error {
	kind, aggregation, ownership := 2, 1, 1
	if i.Kind == Properties {
		kind = 1
	}
	if i.Kind == Object {
		aggregation = 2
	}
	if i.ServerOwned {
		ownership = 2
	}
	for _, m := range i.Mappings {
		if err := r.Exec(ctx, "INSERT INTO "+r.Keyspace+`.endpoints (interface_id, endpoint_id, interface_name, interface_major_version,
 interface_minor_version, interface_type, endpoint, value_type, reliability, retention, expiry, database_retention_policy, allow_unset,
 explicit_timestamp) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 1, 0, 1, false, ?)`,
			i.ID(), EndpointID(i.Name, i.Major, m.Endpoint), i.Name, i.Major, i.Minor, kind, m.Endpoint, int(m.Type), i.ExplicitTimestamp); err != nil {
			return err
		}
	}
	return r.Exec(ctx, "INSERT INTO "+r.Keyspace+`.interfaces (name, major_version, minor_version, interface_id, storage_type, storage, type,
 ownership, aggregation, automaton_transitions, automaton_accepting_states) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.Name, i.Major, i.Minor, i.ID(), int(i.Kind), i.Storage(), kind, ownership, aggregation, []byte{1, 2}, []byte{3})
}

// Device is a device with what it says about itself.
type Device struct {
	ID gocql.UUID
	// Introspection and Old map interfaces' names to major versions.
	Introspection, Old map[string]int
	Connected          bool
	Groups             []string
}

// DeviceID is the id of the device of that number.
func DeviceID(number int) gocql.UUID {
	id := digest("device " + strconv.Itoa(number))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// DeviceIDs are the ids of some devices, by their numbers.
func DeviceIDs(from, count int) []gocql.UUID {
	ids := make([]gocql.UUID, count)
	for i := range ids {
		ids[i] = DeviceID(from + i)
	}
	return ids
}

type versioned struct {
	Name  string
	Major int
}

// AddDevice registers a device. Like Astarte, it leaves the draft groups of
// kv_store alone: Declare fills those.
func (r *Realm) AddDevice(ctx context.Context, d Device) error {
	minors := map[string]int{}
	exchanged := map[versioned]int64{}
	for name, major := range d.Introspection {
		minors[name] = 1
		exchanged[versioned{name, major}] = 42
	}
	old := map[versioned]int{}
	for name, major := range d.Old {
		old[versioned{name, major}] = 1
	}
	groups := map[string]gocql.UUID{}
	for _, group := range slices.Sorted(slices.Values(d.Groups)) {
		inserted := gocql.TimeUUID()
		groups[group] = inserted
		if err := r.Exec(ctx, "INSERT INTO "+r.Keyspace+".grouped_devices (group_name, insertion_uuid, device_id) VALUES (?, ?, ?)", group, inserted, d.ID); err != nil {
			return err
		}
	}
	return r.Exec(ctx, "INSERT INTO "+r.Keyspace+`.devices (device_id, introspection, introspection_minor, old_introspection, connected,
 first_registration, credentials_secret, total_received_msgs, exchanged_bytes_by_interface, groups, aliases)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.Introspection, minors, old, d.Connected, time.UnixMilli(1700000000000), "secret", int64(7), exchanged, groups,
		map[string]string{"name": DeviceText(d.ID)})
}

// Declare puts a device into the groups that Astarte keeps for drafts: those
// that declare the interface, and those that have data on it.
func (r *Realm) Declare(ctx context.Context, i Interface, device gocql.UUID) error {
	for _, group := range DraftGroups(i.Name) {
		if err := r.Exec(ctx, "INSERT INTO "+r.Keyspace+`.kv_store ("group", key, value) VALUES (?, ?, ?)`, group, DeviceText(device), []byte(nil)); err != nil {
			return err
		}
	}
	return nil
}

// DraftGroups are the groups of kv_store for the draft of that name.
func DraftGroups(name string) []string {
	return []string{"devices-by-interface-" + name + "-v0", "devices-with-data-on-interface-" + name + "-v0"}
}
