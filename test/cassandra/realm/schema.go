// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package realm fills a Cassandra with what Astarte keeps in it: a realm's
// schema as each version of Astarte leaves it, interfaces of every storage type,
// devices, data, groups and triggers.
package realm

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of Astarte, by the schema that it leaves.
type Version string

// The versions whose schemas differ; 1.1 has the one of 1.0.
const (
	V1_0   Version = "1.0"
	V1_1   Version = "1.1"
	V1_2   Version = "1.2"
	V1_3   Version = "1.3"
	Master Version = "master"
)

// Versions are all of them, oldest first.
func Versions() []Version { return []Version{V1_0, V1_1, V1_2, V1_3, Master} }

// schemaVersion is the number that Astarte itself keeps for its schema.
func (v Version) schemaVersion() int {
	switch v {
	case V1_0, V1_1:
		return 4
	case V1_2:
		return 5
	case V1_3:
		return 10
	default:
		return 25
	}
}

func (v Version) atLeast(other Version) bool { return v.schemaVersion() >= other.schemaVersion() }

// Names say where a realm lives.
type Names struct {
	// Realm is its name; Keyspace holds it, Astarte lists it.
	Realm, Keyspace, Astarte string
	// Replication is the number of replicas, 1 by default.
	Replication int
}

// NamesOf are those of a realm under a version: Astarte 1.0 and 1.1 know no
// instance id.
func NamesOf(v Version, realm, instance string) Names {
	if !v.atLeast(V1_2) {
		return Names{Realm: realm, Keyspace: realm, Astarte: "astarte"}
	}
	return Names{Realm: realm, Keyspace: Keyspace(realm, instance), Astarte: Keyspace("astarte", instance)}
}

const values = `double_value double, integer_value int, boolean_value boolean, longinteger_value bigint, string_value varchar,
 binaryblob_value blob, datetime_value timestamp, doublearray_value list<double>, integerarray_value list<int>,
 booleanarray_value list<boolean>, longintegerarray_value list<bigint>, stringarray_value list<varchar>,
 binaryblobarray_value list<blob>, datetimearray_value list<timestamp>`

// oldest are the tables of 1.0, which no later version has taken away.
var oldest = []string{
	`CREATE TABLE %s.kv_store ("group" varchar, key varchar, value blob, PRIMARY KEY (("group"), key))`,
	`CREATE TABLE %s.interfaces (name ascii, major_version int, minor_version int, interface_id uuid, storage_type int, storage ascii,
 type int, ownership int, aggregation int, automaton_transitions blob, automaton_accepting_states blob,
 description varchar, doc varchar, PRIMARY KEY (name, major_version))`,
	`CREATE TABLE %s.endpoints (interface_id uuid, endpoint_id uuid, interface_name ascii, interface_major_version int,
 interface_minor_version int, interface_type int, endpoint ascii, value_type int, reliability int, retention int, expiry int,
 database_retention_ttl int, database_retention_policy int, allow_unset boolean, explicit_timestamp boolean,
 description varchar, doc varchar, PRIMARY KEY ((interface_id), endpoint_id))`,
	`CREATE TABLE %s.individual_properties (device_id uuid, interface_id uuid, endpoint_id uuid, path varchar,
 reception_timestamp timestamp, reception_timestamp_submillis smallint, ` + values + `,
 PRIMARY KEY ((device_id, interface_id), endpoint_id, path))`,
	`CREATE TABLE %s.simple_triggers (object_id uuid, object_type int, parent_trigger_id uuid, simple_trigger_id uuid,
 trigger_data blob, trigger_target blob, PRIMARY KEY ((object_id, object_type), parent_trigger_id, simple_trigger_id))`,
	`CREATE TABLE %s.devices (device_id uuid PRIMARY KEY, aliases map<ascii, varchar>, introspection map<ascii, int>,
 introspection_minor map<ascii, int>, old_introspection map<frozen<tuple<ascii, int>>, int>, protocol_revision int,
 first_registration timestamp, credentials_secret ascii, inhibit_credentials_request boolean, cert_serial ascii,
 cert_aki ascii, first_credentials_request timestamp, last_connection timestamp, last_disconnection timestamp,
 connected boolean, pending_empty_cache boolean, total_received_msgs bigint, total_received_bytes bigint,
 exchanged_bytes_by_interface map<frozen<tuple<ascii, int>>, bigint>,
 exchanged_msgs_by_interface map<frozen<tuple<ascii, int>>, bigint>, last_credentials_request_ip inet, last_seen_ip inet,
 attributes map<varchar, varchar>, groups map<text, timeuuid>)`,
	`CREATE TABLE %s.names (object_name varchar, object_type int, object_uuid uuid, PRIMARY KEY ((object_name), object_type))`,
	`CREATE TABLE %s.grouped_devices (group_name varchar, insertion_uuid timeuuid, device_id uuid,
 PRIMARY KEY ((group_name), insertion_uuid, device_id))`,
}

// newer are the changes since, by the version that brought them.
var newer = []struct {
	version   Version
	statement string
}{
	{V1_2, `CREATE TABLE %s.deletion_in_progress (device_id uuid PRIMARY KEY, vmq_ack boolean, dup_start_ack boolean, dup_end_ack boolean)`},
	{V1_3, `ALTER TABLE %s.deletion_in_progress ADD groups set<text>`},
	{V1_3, `CREATE TYPE %s.capabilities (purge_properties_compression_format int)`},
	{V1_3, `ALTER TABLE %[1]s.devices ADD capabilities %[1]s.capabilities`},
	{Master, `CREATE TYPE %s.session_key (alg int, k blob)`},
	{Master, `ALTER TABLE %[1]s.devices ADD shared_secret %[1]s.session_key`},
	{Master, `ALTER TABLE %s.endpoints ADD (required boolean, encrypted boolean)`},
	{Master, `CREATE TABLE %s.unconfirmed_devices (device_id uuid PRIMARY KEY, created_at timestamp)`},
	{Master, `ALTER TABLE %s.individual_properties ADD (encryptedblob_value blob, encrypted_dek blob)`},
	{Master, `CREATE TABLE %s.schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp)`},
}

// Schema is the CQL of an empty realm: its keyspace, its tables, and its line in
// the list of realms, which is made as well. There is no individual_datastreams
// in it: Astarte makes that with the first interface that needs it (Datastreams).
func Schema(v Version, n Names) []string {
	replication := fmt.Sprintf("{'class':'SimpleStrategy','replication_factor':%d}", max(n.Replication, 1))
	statements := []string{
		"CREATE KEYSPACE IF NOT EXISTS " + n.Astarte + " WITH replication = " + replication,
		"CREATE TABLE IF NOT EXISTS " + n.Astarte + ".realms (realm_name varchar PRIMARY KEY" + registrationLimit(v) + ")",
		"CREATE TABLE IF NOT EXISTS " + n.Astarte + `.kv_store ("group" varchar, key varchar, value blob, PRIMARY KEY (("group"), key))`,
		"CREATE KEYSPACE " + n.Keyspace + " WITH replication = " + replication + " AND durable_writes = true",
	}
	for _, statement := range oldest {
		statements = append(statements, fmt.Sprintf(statement, n.Keyspace))
	}
	for _, change := range newer {
		if v.atLeast(change.version) {
			statements = append(statements, fmt.Sprintf(change.statement, n.Keyspace))
		}
	}
	return append(statements,
		"INSERT INTO "+n.Astarte+".realms (realm_name) VALUES ('"+n.Realm+"')",
		"INSERT INTO "+n.Keyspace+`.kv_store ("group", key, value) VALUES ('astarte', 'schema_version', bigintAsBlob(`+strconv.Itoa(v.schemaVersion())+"))",
	)
}

func registrationLimit(v Version) string {
	if v.atLeast(Master) {
		return ", device_registration_limit bigint"
	}
	return ""
}

// Datastreams is the CQL that makes individual_datastreams.
func Datastreams(v Version, keyspace string) []string {
	encrypted := ""
	if v.atLeast(Master) {
		encrypted = ", encryptedblob_value blob, encrypted_dek blob"
	}
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + keyspace + `.individual_datastreams (device_id uuid, interface_id uuid, endpoint_id uuid, path varchar,
 value_timestamp timestamp, reception_timestamp timestamp, reception_timestamp_submillis smallint, ` + values + encrypted + `,
 PRIMARY KEY ((device_id, interface_id, endpoint_id, path), value_timestamp, reception_timestamp, reception_timestamp_submillis))`,
	}
	if v.atLeast(V1_2) {
		// From here on the table is a migration, and the first one is number 0.
		statements = append(statements,
			"CREATE TABLE IF NOT EXISTS "+keyspace+".schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp)",
			"INSERT INTO "+keyspace+".schema_migrations (version, inserted_at) VALUES (0, '2026-01-01 00:00:00Z')",
		)
	}
	return statements
}

// ObjectSchema is the CQL that makes an object interface's table.
func ObjectSchema(keyspace string, i Interface) string {
	var columns, clustering strings.Builder
	if i.ExplicitTimestamp {
		columns.WriteString(", value_timestamp timestamp")
		clustering.WriteString("value_timestamp, ")
	}
	for _, m := range i.Mappings {
		columns.WriteString(", " + ObjectColumn(m.Endpoint) + " " + m.Type.column())
	}
	// Not quoted, as Astarte does it: capitals of a hashed name are lost.
	return fmt.Sprintf(`CREATE TABLE %s.%s (device_id uuid, path varchar, reception_timestamp timestamp,
 reception_timestamp_submillis smallint%s, PRIMARY KEY ((device_id, path), %sreception_timestamp, reception_timestamp_submillis))`,
		keyspace, i.Storage(), columns.String(), clustering.String())
}
