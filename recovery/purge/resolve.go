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

// Realm is a realm as it was found in the database.
type Realm struct {
	Name     string
	Keyspace string
	Tables   map[string]cql.UUID
}

// FindRealm finds the keyspace of a realm, and checks that it is one.
func FindRealm(ctx context.Context, db Reader, r Request) (Realm, error) {
	keyspaces, err := cql.Keyspaces(ctx, db)
	if err != nil {
		return Realm{}, err
	}
	keyspace := r.Keyspace
	if keyspace == "" {
		known, err := realmNames(ctx, db, keyspaces, r.InstanceID)
		if err != nil {
			return Realm{}, err
		}
		tried := Keyspaces(r.Realm, r.InstanceID)
		at := slices.IndexFunc(tried, func(k string) bool { return slices.Contains(keyspaces, k) })
		if at < 0 || !slices.Contains(known, r.Realm) {
			return Realm{}, unknownRealm(r, tried, known, keyspaces)
		}
		keyspace = tried[at]
	}
	if !slices.Contains(keyspaces, keyspace) {
		return Realm{}, inputf("keyspace %q is not in this database; it has %s", keyspace, listOr(userKeyspaces(keyspaces), "no others"))
	}
	if err := cql.CheckIdentifier("keyspace", keyspace); err != nil {
		return Realm{}, err
	}
	tables, err := cql.Tables(ctx, db, keyspace)
	if err != nil {
		return Realm{}, err
	}
	for _, needed := range []string{tableInterfaces, tableEndpoints, tableDevices} {
		if _, ok := tables[needed]; !ok {
			return Realm{}, inputf("keyspace %q is not the keyspace of a realm: it has no table %s", keyspace, needed)
		}
	}
	return Realm{Name: r.Realm, Keyspace: keyspace, Tables: tables}, nil
}

// realmNames are the realms that Astarte knows.
func realmNames(ctx context.Context, db Reader, keyspaces []string, instance string) ([]string, error) {
	astarte := Keyspace("astarte", instance)
	if !slices.Contains(keyspaces, astarte) {
		return nil, nil
	}
	t, err := cql.NewTable(astarte, "realms")
	if err != nil {
		return nil, err
	}
	rows := db.Rows(ctx, cql.Statement{Text: cql.Select(t, []string{"realm_name"}, nil), Consistency: cql.Quorum, PageSize: pageSmall})
	var names []string
	var name string
	for rows.Scan(&name) {
		names = append(names, name)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("list realms: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

func unknownRealm(r Request, tried, realms, keyspaces []string) error {
	instance := "no instance id"
	if r.InstanceID != "" {
		instance = fmt.Sprintf("instance id %q", r.InstanceID)
	}
	message := fmt.Sprintf("realm %q is not in this database: with %s its keyspace would be %s; ", r.Realm, instance, strings.Join(tried, " or "))
	if len(realms) > 0 {
		return inputf("%sthe realms here are %s; check --realm and --instance-id", message, strings.Join(realms, ", "))
	}
	return inputf("%sno realms are listed for that instance, and the keyspaces here are %s; check --realm and --instance-id", message, listOr(userKeyspaces(keyspaces), "none"))
}

func userKeyspaces(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(k string) bool { return strings.HasPrefix(k, "system") })
}

func listOr(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	if len(names) > 12 {
		return strings.Join(names[:12], ", ") + fmt.Sprintf(" and %d more", len(names)-12)
	}
	return strings.Join(names, ", ")
}

// InterfaceRow is a row of the table interfaces.
type InterfaceRow struct {
	Name        string
	Major       int
	Minor       int
	ID          cql.UUID
	StorageType int
	Storage     string
	Type        int
	Aggregation int
	Ownership   int
}

func interfaceColumns() []string {
	return []string{columnName, columnMajor, "minor_version", columnInterface, "storage_type", "storage", "type", "aggregation", "ownership"}
}

// Interfaces are the rows of all interfaces of a realm, by name and major.
func Interfaces(ctx context.Context, db Reader, keyspace string) ([]InterfaceRow, error) {
	t := cql.Table{Keyspace: keyspace, Name: tableInterfaces}
	rows := db.Rows(ctx, cql.Statement{Text: cql.Select(t, interfaceColumns(), nil), Consistency: cql.Quorum, PageSize: pageSmall})
	var all []InterfaceRow
	for {
		var r InterfaceRow
		if !rows.Scan(&r.Name, &r.Major, &r.Minor, &r.ID, &r.StorageType, &r.Storage, &r.Type, &r.Aggregation, &r.Ownership) {
			break
		}
		all = append(all, r)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	slices.SortFunc(all, func(a, b InterfaceRow) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return a.Major - b.Major
	})
	return all, nil
}

// Resolve finds the interface, and all that identifies it. Nothing is written.
func Resolve(ctx context.Context, db Database, r Request) (*Target, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	cluster, err := db.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	realm, err := FindRealm(ctx, db, r)
	if err != nil {
		return nil, err
	}
	all, err := Interfaces(ctx, db, realm.Keyspace)
	if err != nil {
		return nil, err
	}
	t := &Target{
		Cluster: cluster.Name, Partitioner: cluster.Partitioner, Server: serverName(db),
		Keyspace: realm.Keyspace, Realm: r.Realm, InstanceID: r.InstanceID,
		Name: r.Interface, Major: r.Major, DerivedID: InterfaceID(r.Interface, r.Major),
	}
	if !strings.HasSuffix(cluster.Partitioner, "Murmur3Partitioner") {
		return nil, fmt.Errorf("partitioner %s is not supported: only Murmur3Partitioner has the tokens that a sweep goes by", cluster.Partitioner)
	}
	_, t.Properties = realm.Tables[tableProperties]
	_, t.Datastreams = realm.Tables[tableDatastreams]
	for _, row := range all {
		switch {
		case row.Name == r.Interface && row.Major == r.Major:
			t.fromRow(row)
		case row.Name == r.Interface:
			t.OtherMajors = append(t.OtherMajors, row.Major)
		}
	}
	if t.ID == (cql.UUID{}) {
		if err := resolveOrphan(ctx, db, t, r.Orphan, all); err != nil {
			return nil, err
		}
	}
	if err := resolveObject(ctx, db, t, realm, all); err != nil {
		return nil, err
	}
	if _, ok := realm.Tables[tableDeletions]; ok {
		if err := t.noteDeletions(ctx, db); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// noteDeletions says how many devices Astarte is deleting: it finds their data
// through the interfaces' rows, one of which is about to go.
func (t *Target) noteDeletions(ctx context.Context, db Reader) error {
	rows := db.Rows(ctx, cql.Statement{Text: cql.Select(t.table(tableDeletions), []string{columnDevice}, nil), Consistency: cql.Quorum, PageSize: pageKeys})
	var id cql.UUID
	n := 0
	for rows.Scan(&id) {
		n++
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("read devices that are being deleted: %w", err)
	}
	if n > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s right now by Astarte; better wait until that is done", count(n, "device is being deleted", "devices are being deleted")))
	}
	return nil
}

func (t *Target) fromRow(row InterfaceRow) {
	t.ID, t.Minor = row.ID, row.Minor
	t.StorageType, t.Storage = row.StorageType, row.Storage
	t.Type, t.Aggregation, t.Ownership = row.Type, row.Aggregation, row.Ownership
}

func serverName(db Server) string {
	if db.Scylla() {
		return "ScyllaDB"
	}
	return "Cassandra"
}
