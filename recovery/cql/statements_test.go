// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatements(t *testing.T) {
	t.Parallel()
	table, err := NewTable("test", "individual_properties")
	if err != nil {
		t.Fatal(err)
	}
	key := []string{"device_id", "interface_id"}
	cases := map[string]struct{ got, want string }{
		"keys":                                {SelectKeys(table, key), `SELECT DISTINCT "device_id", "interface_id" FROM "test"."individual_properties" WHERE token("device_id", "interface_id") > ? AND token("device_id", "interface_id") <= ?`},
		"keys of":                             {SelectKeysOf(table, key, "interface_id"), `SELECT DISTINCT "device_id", "interface_id" FROM "test"."individual_properties" WHERE token("device_id", "interface_id") > ? AND token("device_id", "interface_id") <= ? AND "interface_id" = ? ALLOW FILTERING`},
		"first rows":                          {SelectFirstRows(table, key), `SELECT "device_id", "interface_id" FROM "test"."individual_properties" WHERE token("device_id", "interface_id") > ? AND token("device_id", "interface_id") <= ? PER PARTITION LIMIT 1`},
		"delete":                              {Delete(table, key), `DELETE FROM "test"."individual_properties" USING TIMESTAMP ? WHERE "device_id" = ? AND "interface_id" = ?`},
		"group":                               {Delete(table, []string{"group"}), `DELETE FROM "test"."individual_properties" USING TIMESTAMP ? WHERE "group" = ?`},
		"insert":                              {Insert(table, key), `INSERT INTO "test"."individual_properties" ("device_id", "interface_id") VALUES (?, ?) USING TIMESTAMP ?`},
		"insert ttl":                          {InsertTTL(table, key), `INSERT INTO "test"."individual_properties" ("device_id", "interface_id") VALUES (?, ?) USING TTL ? AND TIMESTAMP ?`},
		"drop":                                {Drop(table), `DROP TABLE "test"."individual_properties"`},
		"a column whose name is no plain one": {Select(table, []string{`a"b`}, nil), `SELECT "a""b" FROM "test"."individual_properties"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Test", `x"; DROP KEYSPACE y--`, "test\n", "1test", "_x", "tеst", "a.b", string(make([]byte, 49))} {
		if _, err := NewTable(name, "devices"); err == nil {
			t.Errorf("keyspace %q passed", name)
		}
		if _, err := NewTable("test", name); err == nil {
			t.Errorf("table %q passed", name)
		}
	}
}

func TestUnstamped(t *testing.T) {
	t.Parallel()
	table := Table{"test", "t"}
	cases := map[string]struct {
		in        Statement
		wantText  string
		wantStamp int64
		want      []any
	}{
		"a delete": {
			Statement{Text: Delete(table, []string{"a"}), Values: []any{int64(7), "x"}},
			`DELETE FROM "test"."t" WHERE "a" = ?`, 7,
			[]any{"x"},
		},
		"an insert": {
			Statement{Text: Insert(table, []string{"a"}), Values: []any{"x", int64(7)}},
			`INSERT INTO "test"."t" ("a") VALUES (?)`, 7,
			[]any{"x"},
		},
		"an insert with a time to live": {
			Statement{Text: InsertTTL(table, []string{"a"}), Values: []any{"x", 60, int64(7)}},
			`INSERT INTO "test"."t" ("a") VALUES (?) USING TTL ?`, 7,
			[]any{"x", 60},
		},
		"a select": {Statement{Text: Select(table, []string{"a"}, nil)}, `SELECT "a" FROM "test"."t"`, 0, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, stamp := tc.in.unstamped()
			if got.Text != tc.wantText || stamp != tc.wantStamp {
				t.Errorf("unstamped = %q at %d, want %q at %d", got.Text, stamp, tc.wantText, tc.wantStamp)
			}
			if diff := cmp.Diff(tc.want, got.Values); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	st := Statement{Text: `DELETE FROM "a?b" USING TIMESTAMP ? WHERE "k" = ? AND "n" = ? AND "b" = ?`, Values: []any{Later("cut"), "it's", 3, []byte{1, 255}}}
	want := `DELETE FROM "a?b" USING TIMESTAMP :cut WHERE "k" = 'it''s' AND "n" = 3 AND "b" = 0x01ff;`
	if got := st.Literal(); got != want {
		t.Errorf("Literal = %s, want %s", got, want)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	schema := TableSchema{
		Table: Table{"test", "t_v1"},
		Columns: []ColumnSchema{
			{Name: "device_id", Kind: PartitionKey, Type: "uuid"},
			{Name: "path", Kind: PartitionKey, Position: 1, Type: "text"},
			{Name: "reception_timestamp", Kind: Clustering, Type: "timestamp", Order: "desc"},
			{Name: "s", Kind: Static, Type: "int"},
			{Name: "v_x", Kind: Regular, Type: "list<double>"},
		},
		Options: map[string]string{"gc_grace_seconds": "10", "comment": "'it''s'"},
	}
	want := `CREATE TABLE "test"."t_v1" ("device_id" uuid, "path" text, "reception_timestamp" timestamp, "s" int STATIC, "v_x" list<double>, ` +
		`PRIMARY KEY (("device_id", "path"), "reception_timestamp")) WITH CLUSTERING ORDER BY ("reception_timestamp" DESC) AND comment = 'it''s' AND gc_grace_seconds = 10`
	if got := schema.Create(); got != want {
		t.Errorf("Create = %s\nwant     %s", got, want)
	}
}
