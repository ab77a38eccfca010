// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// recording is a database that notes what changes it, and answers SELECTs by
// the first of its answers whose text the statement holds.
type recording struct {
	scylla  bool
	cluster cql.Cluster
	answers []canned

	mu      sync.Mutex
	changes []string
	reads   []cql.Statement
	gone    bool // the row of the interface was deleted
	fail    func(text string) error
}

type canned struct {
	text string
	rows [][]any
	err  error
}

func (d *recording) Scylla() bool { return d.scylla }

func (d *recording) Cluster(context.Context) (cql.Cluster, error) { return d.cluster, nil }

func (d *recording) Rows(_ context.Context, s cql.Statement) cql.Rows {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads = append(d.reads, s)
	if d.gone && (strings.Contains(s.Text, `FROM "test"."interfaces"`) || strings.Contains(s.Text, `FROM "test"."endpoints" WHERE`)) {
		return &cannedRows{}
	}
	for _, a := range d.answers {
		if strings.Contains(s.Text, a.text) {
			return &cannedRows{rows: a.rows, err: a.err}
		}
	}
	return &cannedRows{}
}

func (d *recording) Exec(_ context.Context, s cql.Statement) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(s.Text); err != nil {
			return err
		}
	}
	d.changes = append(d.changes, fmt.Sprintf("%s at %s", s.Literal(), s.Consistency))
	if strings.HasPrefix(s.Text, "DROP") {
		d.drop("SELECT table_name, id")
	}
	return nil
}

func (d *recording) drop(text string) {
	for i := range d.answers {
		if d.answers[i].text == text {
			d.answers[i].rows = nil
		}
	}
}

func (d *recording) Batch(ctx context.Context, statements []cql.Statement) error {
	for _, s := range statements {
		if err := d.Exec(ctx, s); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes = append(d.changes, "-- end of batch")
	d.gone = true
	return nil
}

// cannedRows are rows that were prepared.
type cannedRows struct {
	rows [][]any
	err  error
}

func (r *cannedRows) Scan(dest ...any) bool {
	if len(r.rows) == 0 {
		return false
	}
	row := r.rows[0]
	r.rows = r.rows[1:]
	for i, v := range row {
		reflect.ValueOf(dest[i]).Elem().Set(reflect.ValueOf(v))
	}
	return true
}

func (r *cannedRows) Close() error { return r.err }

func upNode(address string) cql.Node {
	return cql.Node{HostID: address, Address: address, Version: "5.0.6", Up: true, SchemaVersion: "s", Clock: time.UnixMilli(1_700_000_000_000), Asked: time.UnixMilli(1_700_000_000_000)}
}

func oneNode() cql.Cluster {
	return cql.Cluster{Name: "c", Partitioner: "org.apache.cassandra.dht.Murmur3Partitioner", Nodes: []cql.Node{upNode("10.0.0.1")}}
}

// answeringOnce answers some SELECTs with rows once, as a server does when the
// rows are deleted after they were read.
type answeringOnce struct {
	*recording
	once []canned
}

// Rows answers a scan with what is there, and forgets it.
func (d *answeringOnce) Rows(ctx context.Context, s cql.Statement) cql.Rows {
	d.mu.Lock()
	// The probe for the filter and the scans begin alike; a range of the whole
	// ring's first 2^46 tokens is the probe.
	probe := len(s.Values) > 1 && reflect.DeepEqual(s.Values[:2], []any{cql.RingRange(0, mostRanges).Start, cql.RingRange(0, mostRanges).End})
	for i, a := range d.once {
		if !probe && a.rows != nil && strings.Contains(s.Text, a.text) {
			d.once[i].rows = nil
			d.reads = append(d.reads, s)
			d.mu.Unlock()
			return &cannedRows{rows: a.rows}
		}
	}
	d.mu.Unlock()
	return d.recording.Rows(ctx, s)
}

// describeObject lets system_schema describe the tables as an object's.
func (d *answeringOnce) describeObject() {
	none := map[string]string{}
	d.answers = append(
		d.answers,
		canned{text: "SELECT id, comment", rows: [][]any{{cql.UUID{9, 1}, "", 0, 864000, none, none, none}}},
		canned{text: "SELECT column_name", rows: [][]any{
			{"device_id", "partition_key", 0, "uuid", "none"},
			{"path", "partition_key", 1, "text", "none"},
			{"reception_timestamp", "clustering", 0, "timestamp", "asc"},
			{"v_a", "regular", -1, "double", "none"},
		}},
	)
}
