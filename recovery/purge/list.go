// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// InterfaceSummary is what a realm has of one interface.
type InterfaceSummary struct {
	Name      string    `json:"name"`
	Major     int       `json:"major"`
	Minor     int       `json:"minor"`
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Ownership string    `json:"ownership"`
	Storage   string    `json:"storage"`
	Table     string    `json:"table"`
	Values    Estimate  `json:"values"`          // partitions with values
	Paths     *Estimate `json:"paths,omitempty"` // partitions with the paths of a datastream
	Declaring int       `json:"devicesDeclaring"`
	Connected int       `json:"devicesConnected"` // of those
	Triggers  []Trigger `json:"triggers,omitempty"`
	Note      string    `json:"note,omitempty"`
}

// List describes all interfaces of a realm. It reads only.
func List(ctx context.Context, db Database, r Request) ([]InterfaceSummary, error) {
	realm, err := FindRealm(ctx, db, r)
	if err != nil {
		return nil, err
	}
	rows, err := Interfaces(ctx, db, realm.Keyspace)
	if err != nil {
		return nil, err
	}
	l := &lister{db: db, realm: realm, samples: map[string]Sample{}}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	var all []InterfaceSummary
	for _, row := range rows {
		all = append(all, l.summary(ctx, row))
	}
	return all, nil
}

type declared struct{ declaring, connected int }

type lister struct {
	db       Database
	realm    Realm
	samples  map[string]Sample
	devices  map[oldKey]declared
	triggers []simpleTrigger
	names    map[cql.UUID]string
}

func (l *lister) read(ctx context.Context) error {
	cluster, err := l.db.Cluster(ctx)
	if err != nil {
		return err
	}
	for table, key := range map[string][]string{tableProperties: propertiesKey(), tableDatastreams: datastreamsKey()} {
		if _, ok := l.realm.Tables[table]; ok {
			l.samples[table] = sampleTable(ctx, l.db, cql.Table{Keyspace: l.realm.Keyspace, Name: table}, key, true)
		}
	}
	var mu sync.Mutex
	l.devices = map[oldKey]declared{}
	err = eachDevice(ctx, l.db, newScanner(l.db, len(cluster.Nodes), DefaultBackoff()), deviceJob{
		keyspace: l.realm.Keyspace, share: cql.FullRing(), level: cql.Quorum,
		do: func(_ context.Context, d *device) error {
			mu.Lock()
			defer mu.Unlock()
			for name, major := range d.Introspection {
				n := l.devices[oldKey{name, major}]
				n.declaring++
				if d.Connected {
					n.connected++
				}
				l.devices[oldKey{name, major}] = n
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err := eachTrigger(ctx, l.db, l.realm.Keyspace, func(t simpleTrigger) { l.triggers = append(l.triggers, t) }); err != nil {
		return err
	}
	l.names, err = triggerNames(ctx, l.db, l.realm.Keyspace)
	return err
}

func (l *lister) summary(ctx context.Context, row InterfaceRow) InterfaceSummary {
	s := InterfaceSummary{
		Name: row.Name, Major: row.Major, Minor: row.Minor, ID: row.ID.String(), Type: TypeWords(row.Type, row.Aggregation),
		Storage: StorageWords(row.StorageType), Table: strings.ToLower(row.Storage), Ownership: "device",
	}
	if row.Ownership == ownershipServer {
		s.Ownership = "server"
	}
	used := l.devices[oldKey{row.Name, row.Major}]
	s.Declaring, s.Connected = used.declaring, used.connected
	for _, t := range l.triggers {
		if hit, note := t.watches(row.ID, row.Name, row.Major); hit {
			s.Triggers = append(s.Triggers, Trigger{ID: t.parent.String(), Name: l.names[t.parent], ObjectType: t.objectType, Note: note})
		}
	}
	s.Values = l.values(ctx, row, &s)
	if row.StorageType != storageProperties {
		if sample, ok := l.samples[tableProperties]; ok {
			s.Paths = new(sample.Of(row.ID))
		}
	}
	if row.ID != InterfaceID(row.Name, row.Major) {
		s.Note = joinNotes(s.Note, "its id is not the one of its name")
	}
	return s
}

const ownershipServer = 2

func (l *lister) values(ctx context.Context, row InterfaceRow, s *InterfaceSummary) Estimate {
	switch row.StorageType {
	case storageProperties, storageDatastreams:
		sample, ok := l.samples[s.Table]
		if !ok {
			s.Note = joinNotes(s.Note, "its table does not exist")
			return exactly(0)
		}
		return sample.Of(row.ID)
	case storageObject:
		_, exists := l.realm.Tables[s.Table]
		t, err := cql.NewTable(l.realm.Keyspace, s.Table)
		if !exists || err != nil || slices.Contains(fixedTables(), s.Table) {
			s.Note = joinNotes(s.Note, "its table does not exist")
			return exactly(0)
		}
		return sampleTable(ctx, l.db, t, objectKey(), false).Total()
	default:
		s.Note = joinNotes(s.Note, "Astarte writes no such storage type")
		return Estimate{Failed: "unknown storage"}
	}
}

func joinNotes(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
