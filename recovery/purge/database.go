// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Database is what a purge needs of a session.
type Database interface {
	Reader
	Writer
	Server
}

// Reader runs SELECTs.
type Reader interface {
	Rows(ctx context.Context, s cql.Statement) cql.Rows
}

// Writer changes data.
type Writer interface {
	Exec(ctx context.Context, s cql.Statement) error
	Batch(ctx context.Context, s []cql.Statement) error
}

// Server tells about the servers themselves.
type Server interface {
	Cluster(ctx context.Context) (cql.Cluster, error)
	Scylla() bool
}

// The values of Astarte's columns.
const (
	storageProperties  = 1
	storageDatastreams = 2
	storageObject      = 5

	typeProperties = 1
	typeDatastream = 2

	aggregationIndividual = 1
	aggregationObject     = 2

	triggerInterface       = 2
	triggerGroupInterface  = 6
	triggerDeviceInterface = 7
)

// The tables that every realm has. An object table has none of these names.
const (
	tableInterfaces  = "interfaces"
	tableEndpoints   = "endpoints"
	tableProperties  = "individual_properties"
	tableDatastreams = "individual_datastreams"
	tableKV          = "kv_store"
	tableTriggers    = "simple_triggers"
	tableDevices     = "devices"
	tableDeletions   = "deletion_in_progress"
)

// fixedTables are all tables that Astarte itself makes in a realm: whatever an
// interfaces row says, none of them is ever dropped.
func fixedTables() []string {
	return []string{
		tableInterfaces, tableEndpoints, tableProperties, tableDatastreams, tableKV, tableTriggers, tableDevices,
		tableDeletions, "names", "grouped_devices", "schema_migrations", "unconfirmed_devices", "realms",
		"to2_sessions", "ownership_vouchers", "fdo_sessions", "device_registrations", "triggers", "trigger_policies",
	}
}

// The columns that name rows.
const (
	columnDevice    = "device_id"
	columnInterface = "interface_id"
	columnEndpoint  = "endpoint_id"
	columnPath      = "path"
	columnGroup     = "group"
	columnKey       = "key"
	columnName      = "name"
	columnMajor     = "major_version"
)

func propertiesKey() []string { return []string{columnDevice, columnInterface} }
func datastreamsKey() []string {
	return []string{columnDevice, columnInterface, columnEndpoint, columnPath}
}
func objectKey() []string { return []string{columnDevice, columnPath} }

// Page sizes: keys are small, the maps of devices are not.
const (
	pageKeys    = 5000
	pageDevices = 500
	pageRows    = 1000
	pageSmall   = 500
)

// readOne reads one row into dest; found is false when there was none.
func readOne(ctx context.Context, db Reader, s cql.Statement, dest ...any) (found bool, err error) {
	rows := db.Rows(ctx, s)
	found = rows.Scan(dest...)
	return found, rows.Close()
}

// table names a table of the target's keyspace. Both names were checked when
// the target was resolved.
func (t *Target) table(name string) cql.Table {
	return cql.Table{Keyspace: t.Keyspace, Name: name}
}

// waitForAgreement waits until all nodes that answer have the same schema. The
// driver waits too, but says nothing when it gives up.
func waitForAgreement(ctx context.Context, db Server) error {
	w := waiter{250 * time.Millisecond, 2 * time.Second, time.After}
	for attempt := 0; ; attempt++ {
		c, err := db.Cluster(ctx)
		if err != nil {
			return err
		}
		versions := c.SchemaVersions()
		if len(versions) <= 1 {
			return nil
		}
		if attempt >= agreementTries {
			return fmt.Errorf("agree on schema: the nodes have %d different schema versions; let them settle (nodetool describecluster), then run the same command again", len(versions))
		}
		if err := w.wait(ctx, attempt); err != nil {
			return err
		}
	}
}

// agreementTries wait about half a minute in all.
const agreementTries = 16
