// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// resolveOrphan makes a target of an interface that has no row: its id is
// derived from its name, and what is left of it tells its type. Without
// --orphan it is an error that says what there is instead.
func resolveOrphan(ctx context.Context, db Database, t *Target, wanted bool, all []InterfaceRow) error {
	t.ID, t.Orphan = t.DerivedID, true
	endpoints, err := readEndpoints(ctx, db, t, cql.Quorum)
	if err != nil {
		return err
	}
	t.Type = endpoints.kind
	if wanted {
		if endpoints.count > 0 && (endpoints.name != t.Name || endpoints.major != t.Major) {
			return fmt.Errorf("the endpoints with the id of %s are those of %s: refusing to guess", Title(t.Name, t.Major), Title(endpoints.name, endpoints.major))
		}
		return nil
	}
	if endpoints.count > 0 {
		return inputf("interface %s has no row any more, but %d of its endpoints are left, so it was deleted by hand and its data may be left too; add --orphan to purge what is left of it", Title(t.Name, t.Major), endpoints.count)
	}
	if len(t.OtherMajors) > 0 {
		return inputf("interface %s has no major version %d in keyspace %q: it has %s; if %d was deleted by hand, add --orphan to purge what is left of it", t.Name, t.Major, t.Keyspace, majors(t.OtherMajors), t.Major)
	}
	var names []string
	for _, row := range all {
		names = append(names, row.Name)
	}
	hint := ""
	if near := nearest(t.Name, slices.Compact(names), 3); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return inputf("interface %s is not in keyspace %q%s (if its row was deleted by hand, add --orphan; 'holdfast recovery interfaces' lists what is there)", Title(t.Name, t.Major), t.Keyspace, hint)
}

func majors(all []int) string {
	var texts []string
	for _, m := range all {
		texts = append(texts, itoa(m))
	}
	return strings.Join(texts, ", ")
}

// endpointsLeft is what the endpoints of an interface tell about it.
type endpointsLeft struct {
	count int
	name  string
	major int
	kind  int
}

func readEndpoints(ctx context.Context, db Reader, t *Target, level cql.Consistency) (endpointsLeft, error) {
	rows := db.Rows(ctx, cql.Statement{
		Text:        cql.Select(t.table(tableEndpoints), []string{"interface_name", "interface_major_version", "interface_type"}, []string{columnInterface}),
		Values:      []any{t.ID},
		Consistency: level, PageSize: pageSmall,
	})
	var left endpointsLeft
	for rows.Scan(&left.name, &left.major, &left.kind) {
		left.count++
	}
	if err := rows.Close(); err != nil {
		return left, fmt.Errorf("read endpoints: %w", err)
	}
	return left, nil
}

// resolveObject finds the table of an object interface, and all reasons not to
// drop it. Nothing but the table whose name Astarte would have given it, of the
// shape that Astarte gives it, used by no other interface, is ever dropped.
func resolveObject(ctx context.Context, db Reader, t *Target, realm Realm, all []InterfaceRow) error {
	switch t.StorageType {
	case storageProperties, storageDatastreams:
		return checkShared(t)
	case storageObject, 0:
	default:
		t.block("its storage type %d is not one that Astarte writes, so where its data is cannot be known", t.StorageType)
		return nil
	}
	name := TableName(t.Name, t.Major)
	if t.StorageType == storageObject {
		if t.Type != typeDatastream || t.Aggregation != aggregationObject {
			t.block("its row says own table, but it is not an object datastream (type %d, aggregation %d)", t.Type, t.Aggregation)
		}
		if strings.ToLower(t.Storage) != name {
			t.block("its row names the table %q, but the table of this name and major version would be %q", t.Storage, name)
		}
	}
	if t.isFixed(strings.ToLower(t.Storage)) || t.isFixed(name) {
		t.block("its row names the table %q, which belongs to Astarte itself", t.Storage)
	}
	for _, row := range all {
		if (row.Name != t.Name || row.Major != t.Major) && row.StorageType == storageObject && strings.ToLower(row.Storage) == name {
			if t.Orphan {
				// The table of an orphan that another interface uses is the other's.
				return nil
			}
			t.block("interface %s stores its data in the same table %q", Title(row.Name, row.Major), name)
		}
	}
	if _, ok := realm.Tables[name]; !ok {
		if t.StorageType == storageObject {
			t.Notes = append(t.Notes, fmt.Sprintf("its table %q does not exist: there is nothing to drop", name))
		}
		return nil
	}
	return describeObject(ctx, db, t, name)
}

func describeObject(ctx context.Context, db Reader, t *Target, name string) error {
	table, err := cql.NewTable(t.Keyspace, name)
	if err != nil {
		return err
	}
	schema, found, err := cql.ReadTable(ctx, db, table)
	if err != nil || !found {
		return err
	}
	clustering := schema.Names(cql.Clustering)
	if !slices.Equal(schema.Names(cql.PartitionKey), objectKey()) || !slices.Contains(clustering, "reception_timestamp") {
		t.block("its table %q does not have the primary key of an object table, (device_id, path) and a reception timestamp", name)
	}
	t.Object = &ObjectTable{Name: name, ID: schema.ID, Schema: schema}
	return nil
}

// checkShared blocks a row whose storage is not the shared table of its type.
func checkShared(t *Target) error {
	want := map[int]string{storageProperties: tableProperties, storageDatastreams: tableDatastreams}[t.StorageType]
	if t.Storage != "" && t.Storage != want {
		t.block("its row names the table %q for storage type %d, which Astarte keeps in %s", t.Storage, t.StorageType, want)
	}
	if (t.StorageType == storageProperties) != (t.Type == typeProperties) {
		t.block("its storage type %d does not go with its type %d", t.StorageType, t.Type)
	}
	return nil
}

// block notes a danger of the storage, which no flag allows.
func (t *Target) block(format string, args ...any) {
	t.Blockers = append(t.Blockers, Danger{Kind: "storage", Detail: fmt.Sprintf(format, args...)})
}
