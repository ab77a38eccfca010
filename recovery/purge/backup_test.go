// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

func sampleFormat() rowFormat {
	return rowFormat{
		schema:  cql.TableSchema{Table: cql.Table{Keyspace: "test", Name: "t"}},
		columns: []string{"k", "v", "l"}, stamped: []string{"v"}, hidden: []string{"l"},
	}
}

func bytesOf(s string) *[]byte { return new([]byte(s)) }

// writeBackup writes rows, each in a frame of its own, and returns the file.
func writeBackup(t *testing.T, rows []backupRow) (*backup, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	b, err := openBackup(dir, &Header{ID: "one"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	f, err := b.file(sampleFormat())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		var p frame
		if err := p.add(row); err != nil {
			t.Fatal(err)
		}
		if err := f.commit(&p); err != nil {
			t.Fatal(err)
		}
	}
	return b, filepath.Join(dir, "t-0001.jsonl.gz")
}

func sampleRows() []backupRow {
	return []backupRow{
		{Values: []*[]byte{bytesOf("a"), nil, bytesOf("")}, TTLs: []*int64{nil}, Written: []*int64{new(int64(5))}},
		{Values: []*[]byte{bytesOf("\x00\xff"), bytesOf("x"), nil}, TTLs: []*int64{new(int64(60))}, Written: []*int64{new(int64(6))}, At: 100, Generation: 2},
	}
}

// A purge that was killed while it began its backup begins it again; what is
// somebody else's is left alone.
func TestBackupBegunAndCutOff(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"metadata.json.1789574356": true, "shard-0-of-2": true, "lost+found": true, "notes.txt": false, "metadata": false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openBackup(dir, &Header{ID: "one"}, noon); (err == nil) != want {
			t.Errorf("beside %s: %v, want it to begin: %t", name, err, want)
		}
	}
}

func readAll(t *testing.T, path string) ([]backupRow, bool) {
	t.Helper()
	var rows []backupRow
	torn, err := readBackupFile(path, func(h backupHeading, row backupRow) error {
		if h.Table != "t" || len(h.Columns) != 3 {
			t.Errorf("heading = %+v", h)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, torn
}

func TestBackupIsLossless(t *testing.T) {
	t.Parallel()
	b, path := writeBackup(t, sampleRows())
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	rows, torn := readAll(t, path)
	if diff := cmp.Diff(sampleRows(), rows); diff != "" || torn {
		t.Errorf("torn %v: %s", torn, diff)
	}
	if whole, err := checkSums(b.dir); err != nil || !whole {
		t.Errorf("sums: %v, %v", whole, err)
	}
	if err := os.WriteFile(path, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := checkSums(b.dir); err == nil {
		t.Error("a changed file passed")
	}
}

func TestBackupTornAnywhere(t *testing.T) {
	t.Parallel()
	b, path := writeBackup(t, sampleRows())
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := goodLength(path)
	if err != nil || whole != int64(len(data)) {
		t.Fatalf("good length %d of %d, %v", whole, len(data), err)
	}
	seen := map[int]bool{}
	for cut := range data {
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		good, err := goodLength(path)
		if err != nil || good > int64(cut) {
			t.Fatalf("cut at %d: good length %d, %v", cut, good, err)
		}
		rows, torn := readAll(t, path)
		if torn != (good != int64(cut)) {
			t.Fatalf("cut at %d, good to %d: torn %v", cut, good, torn)
		}
		seen[len(rows)] = true
		// A process that goes on cuts the tear off, and writes a file of its own.
		again, err := openBackup(b.dir, &Header{ID: "one"}, noon)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, torn := readAll(t, path); torn {
			t.Fatalf("cut at %d: it is still torn after it was mended", cut)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !seen[0] || !seen[1] {
		t.Errorf("numbers of rows seen: %v", seen)
	}
}

func TestBackupOfAnotherPurge(t *testing.T) {
	t.Parallel()
	b, _ := writeBackup(t, nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openBackup(b.dir, &Header{ID: "two"}, noon); err == nil {
		t.Error("the backup of another purge passed")
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		cell cql.Cell
		size int
		want *int64
	}{
		"null":            {cql.Cell{Null: true}, 8, nil},
		"a bigint":        {cql.Cell{Bytes: []byte{0, 0, 0, 0, 0, 0, 1, 2}}, 8, new(int64(258))},
		"an int":          {cql.Cell{Bytes: []byte{0, 0, 0, 9}}, 4, new(int64(9))},
		"a list of ints":  {cql.Cell{Bytes: []byte{0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 7}}, 4, new(int64(7))},
		"nulls in a list": {cql.Cell{Bytes: []byte{0, 0, 0, 2, 255, 255, 255, 255, 0, 0, 0, 4, 0, 0, 0, 3}}, 4, new(int64(3))},
		"only nulls":      {cql.Cell{Bytes: []byte{0, 0, 0, 1, 255, 255, 255, 255}}, 4, nil},
		"cut off":         {cql.Cell{Bytes: []byte{0, 0, 0, 1, 0, 0, 0, 4, 1}}, 4, nil},
	}
	for name, tc := range cases {
		if diff := cmp.Diff(tc.want, number(tc.cell, tc.size)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestByTTL(t *testing.T) {
	t.Parallel()
	schema := cql.TableSchema{Columns: []cql.ColumnSchema{
		{Name: "k", Kind: cql.PartitionKey}, {Name: "a", Kind: cql.Regular}, {Name: "b", Kind: cql.Regular}, {Name: "l", Kind: cql.Regular},
	}}
	heading := backupHeading{Columns: []string{"k", "a", "b", "l"}, Stamped: []string{"a", "b"}}
	k, a, b, l := bytesOf("k"), bytesOf("a"), bytesOf("b"), bytesOf("l")
	type group struct {
		TTL     int
		Columns []string
	}
	cases := map[string]struct {
		row         backupRow
		want        []group
		wantExpired int
	}{
		"keys alone":         {backupRow{Values: []*[]byte{k, nil, nil, nil}, TTLs: []*int64{nil, nil}}, []group{{0, []string{"k"}}}, 0},
		"without end":        {backupRow{Values: []*[]byte{k, a, b, l}, TTLs: []*int64{nil, nil}}, []group{{0, []string{"k", "a", "b", "l"}}}, 0},
		"with an end":        {backupRow{Values: []*[]byte{k, a, nil, nil}, TTLs: []*int64{new(int64(100)), nil}, At: 990}, []group{{90, []string{"k", "a"}}}, 0},
		"expired":            {backupRow{Values: []*[]byte{k, a, nil, nil}, TTLs: []*int64{new(int64(10)), nil}, At: 990}, nil, 1},
		"different ends":     {backupRow{Values: []*[]byte{k, a, b, nil}, TTLs: []*int64{new(int64(100)), nil}, At: 990}, []group{{90, []string{"k", "a"}}, {0, []string{"k", "b"}}}, 0},
		"one the server hid": {backupRow{Values: []*[]byte{k, a, nil, l}, TTLs: []*int64{new(int64(100)), nil}, At: 990}, []group{{90, []string{"k", "a", "l"}}}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			groups, expired := rowWrite{schema: schema, h: heading, row: tc.row}.byTTL(1000)
			var got []group
			for _, g := range groups {
				got = append(got, group{g.ttl, g.columns})
				if len(g.values) != len(g.columns) {
					t.Errorf("%d values for %d columns", len(g.values), len(g.columns))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || expired != tc.wantExpired {
				t.Errorf("expired %d: %s", expired, diff)
			}
		})
	}
}
