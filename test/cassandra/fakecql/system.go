// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"encoding/binary"
	"net"
	"strings"
)

// shapes are the system's tables: the columns in short, the partition key, and
// the clustering key.
var shapes = map[tableName][3]string{
	{"system", "local"}:                {"key text, bootstrapped text, broadcast_address inet, cluster_name text, cql_version text, data_center text, host_id uuid, listen_address inet, native_protocol_version text, partitioner text, rack text, release_version text, rpc_address inet, schema_version uuid, tokens set<text>", "key", ""},
	{"system", "peers"}:                {"peer inet, data_center text, host_id uuid, preferred_ip inet, rack text, release_version text, rpc_address inet, schema_version uuid, tokens set<text>", "peer", ""},
	{"system", "peers_v2"}:             {"peer inet, peer_port int, data_center text, host_id uuid, native_address inet, native_port int, preferred_ip inet, preferred_port int, rack text, release_version text, schema_version uuid, tokens set<text>", "peer", "peer_port"},
	{"system", "size_estimates"}:       {"keyspace_name text, table_name text, range_start text, range_end text, mean_partition_size bigint, partitions_count bigint", "keyspace_name", "table_name, range_start, range_end"},
	{"system_schema", "keyspaces"}:     {"keyspace_name text, durable_writes boolean, replication frozen<map<text,text>>", "keyspace_name", ""},
	{"system_schema", "tables"}:        {"keyspace_name text, table_name text, bloom_filter_fp_chance double, caching frozen<map<text,text>>, comment text, compaction frozen<map<text,text>>, compression frozen<map<text,text>>, crc_check_chance double, dclocal_read_repair_chance double, default_time_to_live int, extensions frozen<map<text,blob>>, flags frozen<set<text>>, gc_grace_seconds int, id uuid, max_index_interval int, memtable_flush_period_in_ms int, min_index_interval int, read_repair_chance double, speculative_retry text", "keyspace_name", "table_name"},
	{"system_schema", "columns"}:       {"keyspace_name text, table_name text, column_name text, clustering_order text, column_name_bytes blob, kind text, position int, type text", "keyspace_name", "table_name, column_name"},
	{"system_schema", "types"}:         {"keyspace_name text, type_name text, field_names frozen<list<text>>, field_types frozen<list<text>>", "keyspace_name", "type_name"},
	{"system_schema", "functions"}:     {"keyspace_name text, function_name text, argument_types frozen<list<text>>, argument_names frozen<list<text>>, body text, called_on_null_input boolean, language text, return_type text", "keyspace_name", "function_name"},
	{"system_schema", "aggregates"}:    {"keyspace_name text, aggregate_name text, argument_types frozen<list<text>>, final_func text, initcond text, return_type text, state_func text, state_type text", "keyspace_name", "aggregate_name"},
	{"system_schema", "views"}:         {"keyspace_name text, view_name text, base_table_id uuid, base_table_name text, include_all_columns boolean, where_clause text, bloom_filter_fp_chance double, caching frozen<map<text,text>>, comment text, compaction frozen<map<text,text>>, compression frozen<map<text,text>>, crc_check_chance double, dclocal_read_repair_chance double, default_time_to_live int, extensions frozen<map<text,blob>>, gc_grace_seconds int, id uuid, max_index_interval int, memtable_flush_period_in_ms int, min_index_interval int, read_repair_chance double, speculative_retry text", "keyspace_name", "view_name"},
	{"system_schema", "scylla_tables"}: {"keyspace_name text, table_name text, version uuid", "keyspace_name", "table_name"},
}

// system makes a table of the system as it is at this moment, seen from a node.
// Nil means that there is no such table.
func (s *Server) system(name tableName, node int) *table {
	shape, known := shapes[name]
	if !known || (name.table == "scylla_tables" && !s.options.Scylla) || (name.table == "peers_v2" && s.options.Scylla) {
		return nil
	}
	var defined []columnDef
	for _, c := range strings.Split(shape[0], ", ") {
		column, typ, _ := strings.Cut(c, " ")
		defined = append(defined, columnDef{column, cqlType(typ)})
	}
	var clustering []string
	if shape[2] != "" {
		clustering = strings.Split(shape[2], ", ")
	}
	t := newTable(newKeyspace(name.keyspace, "1"), name.table, defined, []string{shape[1]}, clustering)
	switch name.table {
	case "local":
		t.insert(s.describe(s.nodes[node], "local"), 1, 0)
	case "peers", "peers_v2":
		for _, n := range s.nodes {
			if n.index != node {
				t.insert(s.describe(n, name.table), 1, 0)
			}
		}
	case "keyspaces":
		for _, k := range s.keyspaces {
			t.insert(map[string][]byte{
				"keyspace_name": []byte(k.name), "durable_writes": {1},
				"replication": textMap("class", "org.apache.cassandra.locator.SimpleStrategy", "replication_factor", k.replication),
			}, 1, 0)
		}
	case "tables", "columns", "types":
		for _, k := range s.keyspaces {
			k.describe(t)
		}
	}
	if name == (tableName{"system_schema", "tables"}) && s.options.Scylla {
		s.insertTable(t, "system_schema", "scylla_tables")
	}
	return t
}

func (s *Server) insertTable(t *table, keyspace, name string) {
	t.insert(map[string][]byte{"keyspace_name": []byte(keyspace), "table_name": []byte(name)}, 1, 0)
}

// describe is a node's line in one of the tables about nodes.
func (s *Server) describe(n *node, table string) map[string][]byte {
	address := []byte(net.ParseIP(n.address).To4())
	port := binary.BigEndian.AppendUint32(nil, uint32(s.port)) //nolint:gosec // a port
	row := map[string][]byte{
		"data_center": []byte("datacenter1"), "rack": []byte("rack1"), "release_version": []byte(s.release()),
		"host_id": n.id.Bytes(), "schema_version": n.schema.Bytes(), "tokens": textSet(n.tokens...), "rpc_address": address,
	}
	switch table {
	case "local":
		row["key"], row["bootstrapped"] = []byte("local"), []byte("COMPLETED")
		row["cluster_name"], row["partitioner"] = []byte("fake"), []byte("org.apache.cassandra.dht.Murmur3Partitioner")
		row["cql_version"], row["native_protocol_version"] = []byte("3.4.7"), []byte("4")
		row["broadcast_address"], row["listen_address"] = address, address
	case "peers_v2":
		row["native_address"], row["native_port"], row["peer_port"] = address, port, port
		fallthrough
	default:
		row["peer"] = address
	}
	return row
}

func (s *Server) release() string {
	if s.options.Scylla {
		return "3.0.8" // that is what ScyllaDB says to be compatible with
	}
	return "5.0.6"
}

// describe puts the keyspace's part into a table of system_schema.
func (k *keyspace) describe(t *table) {
	if t.name == "types" {
		for name, fields := range k.types {
			var names, types []string
			for _, f := range fields {
				names, types = append(names, f.name), append(types, string(f.typ))
			}
			t.insert(map[string][]byte{"keyspace_name": []byte(k.name), "type_name": []byte(name), "field_names": textSet(names...), "field_types": textSet(types...)}, 1, 0)
		}
		return
	}
	for _, own := range k.tables {
		if t.name == "tables" {
			t.insert(map[string][]byte{
				"keyspace_name": []byte(k.name), "table_name": []byte(own.name), "id": own.id.Bytes(), "comment": {},
				"gc_grace_seconds": {0, 0x0d, 0x2f, 0}, "default_time_to_live": {0, 0, 0, 0}, "speculative_retry": []byte("99p"),
				"compaction":  textMap("class", "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy"),
				"compression": textMap("class", "org.apache.cassandra.io.compress.LZ4Compressor"),
				"caching":     textMap("keys", "ALL", "rows_per_partition", "NONE"),
				"flags":       textSet("compound"),
			}, 1, 0)
			continue
		}
		for _, c := range own.columns {
			order := "none"
			if c.kind == "clustering" {
				order = "asc"
			}
			t.insert(map[string][]byte{
				"keyspace_name": []byte(k.name), "table_name": []byte(own.name), "column_name": []byte(c.name),
				"clustering_order": []byte(order), "column_name_bytes": []byte(c.name), "kind": []byte(c.kind),
				"position": binary.BigEndian.AppendUint32(nil, uint32(c.index)), "type": []byte(c.typ), //nolint:gosec // -1 as on the server
			}, 1, 0)
		}
	}
}
