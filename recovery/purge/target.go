// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Request is what the user asks to purge.
type Request struct {
	Realm      string
	InstanceID string
	Keyspace   string // used as it is when not empty, instead of the realm's
	Interface  string
	Major      int
	Orphan     bool // the row is gone already; find the data by the derived id
}

// Check says whether the names can be names at all, before any connection.
func (r Request) Check() error {
	if err := checkRealmOrKeyspace(r.Realm, r.Keyspace); err != nil {
		return err
	}
	if err := CheckInstanceID(r.InstanceID); err != nil {
		return err
	}
	return CheckInterface(r.Interface)
}

func checkRealmOrKeyspace(realm, keyspace string) error {
	if keyspace != "" {
		if err := cql.CheckIdentifier("keyspace", keyspace); err != nil {
			return err
		}
		if keyspace == "astarte" || strings.HasPrefix(keyspace, "system") {
			return inputf("keyspace %q is not the keyspace of a realm", keyspace)
		}
		if realm == "" {
			return nil
		}
	}
	return CheckRealm(realm)
}

// Target is an interface as it was found in the database: all that identifies
// what is purged. It is kept in the journal, for a lost id is lost data.
type Target struct {
	Cluster     string       `json:"cluster"`
	Partitioner string       `json:"partitioner"`
	Server      string       `json:"server"` // Cassandra or ScyllaDB
	Keyspace    string       `json:"keyspace"`
	Realm       string       `json:"realm"`
	InstanceID  string       `json:"instanceID,omitempty"`
	Name        string       `json:"name"`
	Major       int          `json:"major"`
	Minor       int          `json:"minor"`
	ID          cql.UUID     `json:"interfaceID"`
	DerivedID   cql.UUID     `json:"derivedID"`
	Orphan      bool         `json:"orphan,omitempty"` // it has no row
	StorageType int          `json:"storageType"`      // 0: unknown, there is no row
	Storage     string       `json:"storage,omitempty"`
	Type        int          `json:"type"`
	Aggregation int          `json:"aggregation"`
	Ownership   int          `json:"ownership"`
	Object      *ObjectTable `json:"object,omitempty"`      // the table to drop
	Datastreams bool         `json:"datastreams,omitempty"` // individual_datastreams exists
	Properties  bool         `json:"properties,omitempty"`  // individual_properties exists
	RowWritten  int64        `json:"rowWritten,omitempty"`  // when the row was written, in microseconds
	Blockers    []Danger     `json:"blockers,omitempty"`    // what no flag allows
	Notes       []string     `json:"notes,omitempty"`
	OtherMajors []int        `json:"otherMajors,omitempty"`
}

// ObjectTable is the table of an object interface.
type ObjectTable struct {
	Name   string          `json:"name"`
	ID     cql.UUID        `json:"id"`
	Schema cql.TableSchema `json:"schema"`
}

// Title is what the user types to confirm: realm/name/vMAJOR.
func (t *Target) Title() string {
	realm := t.Realm
	if realm == "" {
		realm = t.Keyspace
	}
	return realm + "/" + t.Name + "/v" + itoa(t.Major)
}

// shared is a table that many interfaces store their data in.
type shared struct {
	name string
	key  []string
	kind string
}

// Kinds of traces, as the plan and the report name them.
const (
	kindDefinition = "definition"
	kindEndpoints  = "endpoints"
	kindValues     = "values"
	kindPaths      = "paths"
	kindGroup      = "group"
	kindTriggers   = "triggers"
)

// sweeps are the shared tables that hold data of the target. Path rows are in
// individual_properties whatever the storage, and they come first: they name
// the partitions of individual_datastreams.
func (t *Target) sweeps() []shared {
	var s []shared
	if t.Properties {
		kind := kindPaths
		if t.StorageType == storageProperties || t.StorageType == 0 && t.Type == typeProperties {
			kind = kindValues
		}
		s = append(s, shared{tableProperties, propertiesKey(), kind})
	}
	if t.readsDatastreams() {
		s = append(s, shared{tableDatastreams, datastreamsKey(), kindValues})
	}
	return s
}

// readsDatastreams says whether individual_datastreams can hold data of the
// target: it does for one kind of storage, and may when the row is gone.
func (t *Target) readsDatastreams() bool {
	return t.Datastreams && (t.StorageType == storageDatastreams || t.StorageType == 0 && t.Type != typeProperties)
}

// storageName is the storage in words.
func (t *Target) storageName() string {
	return StorageWords(t.StorageType)
}

// StorageWords says in words what a storage_type is.
func StorageWords(storageType int) string {
	switch storageType {
	case 0:
		return "unknown (no row)"
	case storageProperties:
		return "shared properties"
	case storageDatastreams:
		return "shared datastreams"
	case storageObject:
		return "own table"
	default:
		return "unknown (" + itoa(storageType) + ")"
	}
}

// TypeWords says in words what an interface carries.
func TypeWords(kind, aggregation int) string {
	switch {
	case kind == typeProperties:
		return "properties"
	case kind == typeDatastream && aggregation == aggregationObject:
		return "object datastream"
	case kind == typeDatastream:
		return "individual datastream"
	default:
		return "unknown"
	}
}

func (t *Target) isFixed(table string) bool { return slices.Contains(fixedTables(), table) }
