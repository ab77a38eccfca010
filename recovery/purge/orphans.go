// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Orphan is data that belongs to no interface of the realm.
type Orphan struct {
	ID          string `json:"interfaceID,omitempty"`
	Name        string `json:"name,omitempty"` // where something still tells it
	Major       int    `json:"major"`
	Table       string `json:"table,omitempty"` // an object table that no interface uses
	Endpoints   int64  `json:"endpoints"`
	Datastreams int64  `json:"datastreams"` // partitions
	Properties  int64  `json:"properties"`  // partitions of values or paths
	Note        string `json:"note,omitempty"`

	id cql.UUID
}

// FindOrphans lists the interface ids and object tables of a realm that have
// data and no interface. It reads the keys of all data, and nothing else.
func FindOrphans(ctx context.Context, db Database, r Request, o Options) ([]Orphan, error) {
	o = o.withDefaults()
	realm, err := FindRealm(ctx, db, r)
	if err != nil {
		return nil, err
	}
	rows, err := Interfaces(ctx, db, realm.Keyspace)
	if err != nil {
		return nil, err
	}
	cluster, err := db.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	f := &orphanFinder{db: db, o: o, realm: realm, known: map[cql.UUID]bool{}, found: map[cql.UUID]*Orphan{}, scan: newScanner(db, len(cluster.Nodes), o.Backoff)}
	for _, row := range rows {
		f.known[row.ID] = true
	}
	for _, t := range []shared{{tableDatastreams, datastreamsKey(), kindValues}, {tableProperties, propertiesKey(), kindValues}} {
		if _, ok := realm.Tables[t.name]; !ok {
			continue
		}
		if err := f.table(ctx, t); err != nil {
			return nil, err
		}
	}
	if err := f.endpoints(ctx); err != nil {
		return nil, err
	}
	orphans := f.list()
	tables, err := f.tables(ctx, rows)
	return append(orphans, tables...), err
}

type orphanFinder struct {
	db    Database
	o     Options
	realm Realm
	scan  *scanner
	known map[cql.UUID]bool

	mu    sync.Mutex
	found map[cql.UUID]*Orphan
}

// add counts n partitions of an interface without a row.
func (f *orphanFinder) add(id cql.UUID, n int64, field func(*Orphan) *int64) *Orphan {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.found[id]
	if o == nil {
		o = &Orphan{ID: id.String(), id: id}
		f.found[id] = o
	}
	*field(o) += n
	return o
}

// table reads all keys of one of the shared tables.
func (f *orphanFinder) table(ctx context.Context, t shared) error {
	table := cql.Table{Keyspace: f.realm.Keyspace, Name: t.name}
	text := cql.SelectKeys(table, t.key)
	if f.db.Scylla() {
		text = cql.BypassCache(text)
	}
	field := func(o *Orphan) *int64 { return &o.Datastreams }
	if t.name == tableProperties {
		field = func(o *Orphan) *int64 { return &o.Properties }
	}
	splits := splitsFor(sampleTable(ctx, f.db, table, t.key, true).Total().Count)
	var ranges int64
	failures, err := f.scan.run(ctx, rangeJob{
		share: cql.FullRing(), splits: splits, page: pageKeys,
		work: func(ctx context.Context, r cql.Range, page int) (rangeCounts, finishRange, error) {
			here := map[cql.UUID]int64{}
			rows := f.db.Rows(ctx, cql.Statement{Text: text, Values: []any{r.Start, r.End}, Consistency: f.o.Consistency, PageSize: page})
			var p partition
			dest := p.dest(t)
			for rows.Scan(dest...) {
				if !f.known[p.iface] {
					here[p.iface]++
				}
			}
			if err := rows.Close(); err != nil {
				return rangeCounts{}, nil, err
			}
			for id, n := range here {
				f.add(id, n, field)
			}
			return rangeCounts{}, nil, nil
		},
		after: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			ranges++
			f.o.Observe(Event{Phase: phaseOrphans, Table: t.name, Done: ranges, Total: int64(splits), Found: int64(len(f.found))})
		},
	})
	if err != nil {
		return fmt.Errorf("read keys of %s: %w", t.name, err)
	}
	if len(failures) > 0 {
		return fmt.Errorf("read keys of %s: %d ranges cannot be read, the first is %s", t.name, len(failures), failures[0])
	}
	return nil
}

// endpoints reads all endpoints: they are few, and name their interface.
func (f *orphanFinder) endpoints(ctx context.Context) error {
	t := cql.Table{Keyspace: f.realm.Keyspace, Name: tableEndpoints}
	rows := f.db.Rows(ctx, cql.Statement{
		Text:        cql.Select(t, []string{columnInterface, "interface_name", "interface_major_version"}, nil),
		Consistency: cql.Quorum, PageSize: pageSmall,
	})
	var id cql.UUID
	var name string
	var major int
	for rows.Scan(&id, &name, &major) {
		if f.known[id] {
			continue
		}
		o := f.add(id, 1, func(o *Orphan) *int64 { return &o.Endpoints })
		o.Name, o.Major = name, major
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	return nil
}

func (f *orphanFinder) list() []Orphan {
	var all []Orphan
	for _, o := range f.found {
		if o.Name == "" {
			o.Note = "nothing tells its name; if you know one, purge-interface --orphan takes it and compares the id"
		}
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b Orphan) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Major, b.Major), strings.Compare(a.ID, b.ID))
	})
	return all
}

// tables are the tables of the shape of an object's that no interface uses.
func (f *orphanFinder) tables(ctx context.Context, rows []InterfaceRow) ([]Orphan, error) {
	used := map[string]bool{}
	for _, row := range rows {
		used[strings.ToLower(row.Storage)] = true
	}
	byTable := map[string]*Orphan{}
	for _, o := range f.found {
		if o.Name != "" {
			byTable[TableName(o.Name, o.Major)] = o
		}
	}
	var all []Orphan
	for name := range f.realm.Tables {
		if used[name] || slices.Contains(fixedTables(), name) {
			continue
		}
		t, err := cql.NewTable(f.realm.Keyspace, name)
		if err != nil {
			continue
		}
		schema, found, err := cql.ReadTable(ctx, f.db, t)
		if err != nil {
			return nil, err
		}
		if !found || !slices.Equal(schema.Names(cql.PartitionKey), objectKey()) {
			continue
		}
		o := Orphan{Table: name, Note: "an object table that no interface uses"}
		if of := byTable[name]; of != nil {
			o.Name, o.Major, o.ID = of.Name, of.Major, of.ID
		}
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Orphan) int { return strings.Compare(a.Table, b.Table) })
	return all, nil
}
