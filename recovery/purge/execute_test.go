// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

var (
	deviceA = cql.UUID{0xaa}
	deviceB = cql.UUID{0xbb}
	pathsID = cql.UUID{0xee}
)

// valuesRow is the row of the interface that the tests purge.
func valuesRow(storageType int, storage string, aggregation int) []any {
	return []any{"com.test.Values", 1, 0, InterfaceID("com.test.Values", 1), storageType, storage, 2, aggregation, 1}
}

// realmWith is a recorded realm with one interface.
func realmWith(row []any, tables ...string) *recording {
	all := [][]any{{"interfaces", cql.UUID{1}}, {"endpoints", cql.UUID{2}}, {"devices", cql.UUID{3}}, {"kv_store", cql.UUID{4}}}
	for i, name := range tables {
		all = append(all, []any{name, cql.UUID{9, byte(i)}})
	}
	return &recording{cluster: oneNode(), answers: []canned{
		{text: "FROM system_schema.keyspaces", rows: [][]any{{"test"}, {"astarte"}}},
		{text: `FROM "astarte"."realms"`, rows: [][]any{{"test"}}},
		{text: "SELECT table_name, id", rows: all},
		{text: `"minor_version", "interface_id"`, rows: [][]any{row}},
		{text: `WRITETIME("interface_id") FROM "test"."interfaces"`, rows: [][]any{{row[3], int64(5)}}},
		{text: `"interface_name", "interface_major_version", "interface_type" FROM "test"."endpoints"`, rows: [][]any{{"com.test.Values", 1, 2}}},
	}}
}

func quick(t *testing.T) Options {
	t.Helper()
	return Options{
		Version: "test", Journal: t.TempDir(), WritersStopped: true, Consistency: cql.Quorum,
		Backoff: Backoff{First: time.Millisecond, Most: time.Millisecond, Tries: 3},
	}
}

// purgeWithOnce makes the plan and carries it out. The definition's rows are not
// what these tests are about.
func purgeWithOnce(t *testing.T, db *answeringOnce, o Options) (*Report, error) {
	t.Helper()
	request := Request{Realm: "test", Interface: "com.test.Values", Major: 1}
	plan, err := Prepare(t.Context(), db, request, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(db.changes) > 0 {
		t.Fatalf("the plan has changed something: %v", db.changes)
	}
	o = o.withDefaults()
	r, err := begin(db, plan, o)
	if err != nil {
		return nil, err
	}
	r.state.metadata = true
	err = r.whole(t.Context())
	return r.report(), r.end(err)
}

func TestExecuteOrderAndValues(t *testing.T) {
	t.Parallel()
	id := InterfaceID("com.test.Values", 1).String()
	scanned := func(table string, rows ...[]any) canned {
		return canned{text: "SELECT DISTINCT " + table, rows: rows}
	}
	detach := []string{
		`DELETE FROM "test"."endpoints" USING TIMESTAMP 1700000000000999 WHERE "interface_id" = ` + id + `; at ALL`,
		`DELETE FROM "test"."interfaces" USING TIMESTAMP 1700000000000999 WHERE "name" = 'com.test.Values' AND "major_version" = 1; at ALL`,
		"-- end of batch",
	}
	groups := []string{
		`DELETE FROM "test"."kv_store" USING TIMESTAMP 1700000000000999 WHERE "group" = 'devices-by-interface-com.test.Values-v1'; at ALL`,
		`DELETE FROM "test"."kv_store" USING TIMESTAMP 1700000000000999 WHERE "group" = 'devices-with-data-on-interface-com.test.Values-v1'; at ALL`,
	}
	values := func(device cql.UUID) string {
		return `DELETE FROM "test"."individual_datastreams" USING TIMESTAMP 1700000000000999 WHERE "device_id" = ` + device.String() +
			` AND "interface_id" = ` + id + ` AND "endpoint_id" = ` + pathsID.String() + ` AND "path" = '/a'; at QUORUM`
	}
	paths := func(device cql.UUID) string {
		return `DELETE FROM "test"."individual_properties" USING TIMESTAMP 1700000000000999 WHERE "device_id" = ` + device.String() + ` AND "interface_id" = ` + id + `; at QUORUM`
	}
	iface := InterfaceID("com.test.Values", 1)
	cases := map[string]struct {
		db     *recording
		scylla bool
		once   []canned
		want   []string
	}{
		"a datastream: row, values, paths, groups": {
			db: realmWith(valuesRow(2, "individual_datastreams", 1), tableProperties, tableDatastreams),
			once: []canned{
				scanned(`"device_id", "interface_id", "endpoint_id", "path"`, []any{deviceA, iface, pathsID, "/a"}, []any{deviceB, iface, pathsID, "/a"}),
				scanned(`"device_id", "interface_id" FROM`, []any{deviceA, iface}),
			},
			want: slices.Concat(detach, []string{values(deviceA), values(deviceB), paths(deviceA)}, groups),
		},
		"on ScyllaDB what the scan gives of others is left alone": {
			db:     realmWith(valuesRow(2, "individual_datastreams", 1), tableProperties, tableDatastreams),
			scylla: true,
			once: []canned{
				scanned(`"device_id", "interface_id", "endpoint_id", "path"`, []any{deviceA, cql.UUID{7}, pathsID, "/a"}, []any{deviceB, iface, pathsID, "/a"}),
				scanned(`"device_id", "interface_id" FROM`, []any{deviceA, cql.UUID{7}}),
			},
			want: slices.Concat(detach, []string{values(deviceB)}, groups),
		},
		"an object: the table is dropped after the sweeps": {
			db: realmWith(valuesRow(5, "com_test_values_v1", 2), tableProperties, "com_test_values_v1"),
			once: []canned{
				scanned(`"device_id", "interface_id" FROM`, []any{deviceA, iface}),
			},
			want: slices.Concat(detach, []string{paths(deviceA), `DROP TABLE "test"."com_test_values_v1"; at ALL`}, groups),
		},
		"no data at all": {
			db:   realmWith(valuesRow(2, "individual_datastreams", 1), tableProperties),
			want: slices.Concat(detach, groups),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := &answeringOnce{recording: tc.db, once: tc.once}
			db.scylla = tc.scylla
			db.describeObject()
			report, err := purgeWithOnce(t, db, quick(t))
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Clone(db.changes)
			// Deletes of one table are sent at the same time.
			slices.SortStableFunc(got, func(a, b string) int {
				if strings.Contains(a, "individual_datastreams") && strings.Contains(b, "individual_datastreams") {
					return strings.Compare(a, b)
				}
				return 0
			})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if !report.Complete {
				t.Error("the report says it is not complete")
			}
		})
	}
}

func TestExecuteStops(t *testing.T) {
	t.Parallel()
	denied := cql.NewError(cql.KindUnauthorized, "no DROP permission")
	cases := map[string]struct {
		fail func(string) error
		want []string // of the changes, by how they begin
	}{
		"when the row cannot be deleted, nothing else is": {
			func(text string) error {
				if strings.Contains(text, "interfaces") {
					return cql.NewError(cql.KindUnavailable, "replicas are down")
				}
				return nil
			}, []string{`DELETE FROM "test"."endpoints"`},
		},
		"when the table cannot be dropped, the groups stay": {
			func(text string) error {
				if strings.HasPrefix(text, "DROP") {
					return denied
				}
				return nil
			}, []string{`DELETE FROM "test"."endpoints"`, `DELETE FROM "test"."interfaces"`, "-- end of batch"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := &answeringOnce{recording: realmWith(valuesRow(5, "com_test_values_v1", 2), tableProperties, "com_test_values_v1")}
			db.describeObject()
			db.fail = tc.fail
			report, err := purgeWithOnce(t, db, quick(t))
			var stopped *StoppedError
			if !errors.As(err, &stopped) || report.Complete {
				t.Fatalf("err = %v, complete %v; want that it stopped", err, report.Complete)
			}
			var got []string
			for i, c := range db.changes {
				if i < len(tc.want) && strings.HasPrefix(c, tc.want[i]) {
					c = tc.want[i]
				}
				got = append(got, c)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
