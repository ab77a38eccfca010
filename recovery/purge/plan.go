// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Plan is what a purge would do, and what speaks against it. It is made with
// SELECTs alone.
type Plan struct {
	Digest   string        `json:"digest"`
	Cluster  ClusterInfo   `json:"cluster"`
	Keyspace string        `json:"keyspace"`
	Realm    string        `json:"realm,omitempty"`
	Iface    InterfaceInfo `json:"interface"`
	Traces   []Trace       `json:"traces"`
	Dangers  []Danger      `json:"dangers"`
	Devices  DeviceUse     `json:"devices"`
	Triggers []Trigger     `json:"triggers,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
	Confirm  string        `json:"confirm"` // what to type
	Resumes  string        `json:"resumes,omitempty"`

	Target     *Target     `json:"-"`
	Nodes      cql.Cluster `json:"-"`
	Partitions int64       `json:"-"` // of the largest table to sweep, estimated
	Grace      int         `json:"-"` // the shortest gc_grace_seconds of the tables swept

	allowed  []string // what was allowed when the purge that this goes on with was begun
	detached bool     // that purge has deleted the row
}

// ClusterInfo is the database as the plan shows it.
type ClusterInfo struct {
	Name   string     `json:"name"`
	Server string     `json:"server"`
	Nodes  []cql.Node `json:"nodes"`
}

// InterfaceInfo is the interface as the plan shows it.
type InterfaceInfo struct {
	Name        string `json:"name"`
	Major       int    `json:"major"`
	Minor       int    `json:"minor"`
	ID          string `json:"id"`
	DerivedID   string `json:"derivedID"`
	Type        string `json:"type"`
	Storage     string `json:"storage"`
	Table       string `json:"table,omitempty"`
	TableID     string `json:"tableID,omitempty"`
	RowExists   bool   `json:"rowExists"`
	OtherMajors []int  `json:"otherMajors,omitempty"`
}

// Trace is what the interface has in one table.
type Trace struct {
	Table    string `json:"table"`
	Kind     string `json:"kind"`
	Estimate int64  `json:"estimate"` // partitions, or rows of a definition
	Low      int64  `json:"low"`
	High     int64  `json:"high"`
	Exact    bool   `json:"exact"`
	Unknown  string `json:"unknown,omitempty"` // why there is no estimate
	Action   string `json:"action"`            // delete, drop, keep
	Group    string `json:"group,omitempty"`
}

func trace(table, kind string, e Estimate) Trace {
	return Trace{Table: table, Kind: kind, Estimate: e.Count, Low: e.Low, High: e.High, Exact: e.Exact, Unknown: e.Failed, Action: "delete"}
}

// MakePlan finds all traces of the target, and all that speaks against purging
// it.
func MakePlan(ctx context.Context, db Database, t *Target) (*Plan, error) {
	cluster, err := db.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Target: t, Nodes: cluster, Keyspace: t.Keyspace, Realm: t.Realm, Confirm: t.Title(), Dangers: []Danger{},
		Cluster: ClusterInfo{Name: cluster.Name, Server: t.Server, Nodes: cluster.Nodes},
		Iface: InterfaceInfo{
			Name: t.Name, Major: t.Major, Minor: t.Minor, ID: t.ID.String(), DerivedID: t.DerivedID.String(),
			Type: TypeWords(t.Type, t.Aggregation), Storage: t.storageName(), RowExists: !t.Orphan, OtherMajors: t.OtherMajors,
		},
		Notes: append([]string{}, t.Notes...),
	}
	if t.Object != nil {
		p.Iface.Table, p.Iface.TableID = t.Object.Name, t.Object.ID.String()
	}
	if err := p.trace(ctx, db); err != nil {
		return nil, err
	}
	s := newScanner(db, len(cluster.Nodes), DefaultBackoff())
	if p.Devices, err = countDevices(ctx, db, s, t); err != nil {
		return nil, err
	}
	if p.Triggers, err = findTriggers(ctx, db, t); err != nil {
		return nil, err
	}
	p.traceTriggers()
	p.judge()
	p.Digest = p.digest()
	return p, nil
}

// trace counts or samples what the interface has in each table.
func (p *Plan) trace(ctx context.Context, db Database) error {
	t := p.Target
	row, err := readRow(ctx, db, t, cql.Quorum)
	if err != nil {
		return err
	}
	rowCount := Estimate{Exact: true}
	if row.found {
		rowCount = exactly(1)
	}
	left, err := readEndpoints(ctx, db, t, cql.Quorum)
	if err != nil {
		return err
	}
	p.Traces = append(p.Traces, trace(tableInterfaces, kindDefinition, rowCount), trace(tableEndpoints, kindEndpoints, exactly(int64(left.count))))
	for _, s := range t.sweeps() {
		if err := p.readGrace(ctx, db, t.table(s.name)); err != nil {
			return err
		}
		sample := sampleTable(ctx, db, t.table(s.name), s.key, true)
		p.Partitions = max(p.Partitions, sample.Total().Count)
		found := sample.Of(t.ID)
		if t.Orphan && !found.Exact && found.Count == 0 && found.Failed == "" {
			// A sample that saw none is no proof that there is none, and then nothing is to be done.
			if found, err = countKeys(ctx, db, p, s); err != nil {
				return err
			}
		}
		p.Traces = append(p.Traces, trace(s.name, s.kind, found))
	}
	if t.Object != nil {
		sample := sampleTable(ctx, db, t.table(t.Object.Name), objectKey(), false)
		drop := trace(t.Object.Name, kindValues, sample.Total())
		drop.Action = "drop"
		p.Traces = append(p.Traces, drop)
		p.Partitions = max(p.Partitions, sample.Total().Count)
	}
	for _, group := range []string{DevicesGroup(t.Name, t.Major), DataGroup(t.Name, t.Major)} {
		n, err := countGroup(ctx, db, groupOf{t, group, cql.Quorum})
		if err != nil {
			return err
		}
		if n > 0 || t.Major == 0 {
			entry := trace(tableKV, kindGroup, exactly(n))
			entry.Group = group
			p.Traces = append(p.Traces, entry)
		}
	}
	return nil
}

// readGrace notes the shortest gc_grace_seconds of the tables that are swept.
func (p *Plan) readGrace(ctx context.Context, db Reader, t cql.Table) error {
	schema, found, err := cql.ReadTable(ctx, db, t)
	if err != nil || !found {
		return err
	}
	seconds, err := strconv.Atoi(schema.Options["gc_grace_seconds"])
	if err == nil && (p.Grace == 0 || seconds < p.Grace) {
		p.Grace = seconds
	}
	return nil
}

// groupOf names a group of kv_store, and how it is read.
type groupOf struct {
	target *Target
	name   string
	level  cql.Consistency
}

func countGroup(ctx context.Context, db Reader, g groupOf) (int64, error) {
	rows := db.Rows(ctx, cql.Statement{
		Text:   cql.Select(g.target.table(tableKV), []string{columnKey}, []string{columnGroup}),
		Values: []any{g.name}, Consistency: g.level, PageSize: pageKeys,
	})
	var n int64
	var key string
	for rows.Scan(&key) {
		n++
	}
	if err := rows.Close(); err != nil {
		return 0, fmt.Errorf("read group %q of kv_store: %w", g.name, err)
	}
	return n, nil
}

func (p *Plan) traceTriggers() {
	entry := trace(tableTriggers, kindTriggers, exactly(int64(len(p.Triggers))))
	entry.Action = "keep"
	p.Traces = append(p.Traces, entry)
}

// mostSkew is the difference of clocks above which the user is told.
const mostSkew = 2 * time.Second

// judge says what speaks against the purge.
func (p *Plan) judge() {
	t := p.Target
	p.Dangers = append(p.Dangers, t.Blockers...)
	if p.Devices.Declaring > 0 {
		p.danger(DangerDeclared, "%s it (%d connected now): each will be disconnected whenever it publishes on it or empties its cache, until its firmware drops the interface", count(p.Devices.Declaring, "device declares", "devices declare"), p.Devices.DeclaringConnected)
	}
	if len(p.Triggers) > 0 {
		var names []string
		for _, trigger := range p.Triggers {
			names = append(names, trigger.String())
		}
		p.danger(DangerTriggers, "%s it: %s; delete them through Astarte's API first, or they stay behind and break", count(len(p.Triggers), "trigger watches", "triggers watch"), listOr(names, ""))
	}
	if down := p.Nodes.Down(); len(down) > 0 {
		var names []string
		for _, n := range down {
			names = append(names, n.Address)
		}
		list := strings.Join(names, ", ")
		if t.Object != nil {
			p.Dangers = append(p.Dangers, Danger{Kind: "drop-with-node-down", Detail: fmt.Sprintf("%s does not answer, and a DROP TABLE with a node down can leave the nodes with different schemas; bring it up first", list)})
		}
		p.danger(DangerNodesDown, "%s does not answer from here: it will still show the interface, and its data, until it is up and repaired", list)
	}
	if t.ID != t.DerivedID {
		p.danger(DangerIDMismatch, "its row has the id %s, but the id of this name and major version is %s", t.ID, t.DerivedID)
	}
	if versions := p.Nodes.SchemaVersions(); len(versions) > 1 {
		p.Dangers = append(p.Dangers, Danger{Kind: "schema", Detail: fmt.Sprintf("the nodes have %d different schema versions; let them settle first (nodetool describecluster)", len(versions))})
	}
	if skew := p.Nodes.Skew(); skew > mostSkew {
		p.Notes = append(p.Notes, fmt.Sprintf("the clocks of this machine and of the database differ by %s; only the database's are used", skew.Round(time.Second)))
	}
	if len(t.OtherMajors) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("other major versions of %s stay as they are: %s", t.Name, majors(t.OtherMajors)))
	}
	if !t.Datastreams {
		p.Notes = append(p.Notes, "the realm has no table individual_datastreams: nothing to sweep there")
	}
	if t.Orphan {
		p.Notes = append(p.Notes, "the interface has no row: its data is found by the id derived from its name and major version")
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Empty says whether no trace of the interface was found.
func (p *Plan) Empty() bool {
	for _, t := range p.Traces {
		if t.Kind != kindTriggers && (t.Estimate > 0 || !t.Exact || t.Action == "drop") {
			return false
		}
	}
	return true
}
