// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

func start(t *testing.T, options Options) (*Server, *gocql.Session) {
	t.Helper()
	server, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Hosts()[0])
	if err != nil {
		t.Fatal(err)
	}
	config := gocql.NewCluster(host)
	config.Port, err = strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	config.ProtoVersion, config.DefaultTimestamp, config.Logger = 4, false, log.New(io.Discard, "", 0)
	config.Timeout, config.PageSize, config.RetryPolicy = 5*time.Second, 100, nil
	session, err := config.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return server, session
}

var stream = realm.Interface{
	Name: "com.test.Stream", Major: 1, Kind: realm.Datastream,
	Mappings: []realm.Mapping{{Endpoint: "/%{id}/value", Type: realm.Double}},
}

// fill makes a realm with as many partitions on the interface as asked for.
func fill(t *testing.T, session *gocql.Session, partitions int) {
	t.Helper()
	r, err := realm.Create(t.Context(), session, realm.V1_0, realm.NamesOf(realm.V1_0, "test", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Install(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	var devices []gocql.UUID
	for i := range partitions {
		devices = append(devices, realm.DeviceID(i))
	}
	if _, err := r.Load(t.Context(), realm.Load{Interface: stream, Devices: devices, Rows: 3}); err != nil {
		t.Fatal(err)
	}
}

const (
	scanned   = `SELECT DISTINCT device_id, interface_id, endpoint_id, path FROM "test"."individual_datastreams" WHERE token(device_id, interface_id, endpoint_id, path) > ? AND token(device_id, interface_id, endpoint_id, path) <= ?`
	firstRows = `SELECT device_id, interface_id, endpoint_id, path FROM "test"."individual_datastreams" WHERE token(device_id, interface_id, endpoint_id, path) > ? AND token(device_id, interface_id, endpoint_id, path) <= ? PER PARTITION LIMIT 1`
	lowest    = -1 << 63
	highest   = 1<<63 - 1
)

// keys reads a scan's devices, in order.
func keys(q *gocql.Query) ([]string, error) {
	var found []string
	var device, interfaceID, endpoint gocql.UUID
	var path string
	rows := q.Iter()
	for rows.Scan(&device, &interfaceID, &endpoint, &path) {
		found = append(found, device.String())
	}
	return found, rows.Close()
}

func TestScansGiveEveryPartitionOnce(t *testing.T) {
	t.Parallel()
	server, session := start(t, Options{})
	fill(t, session, 250)
	whole, err := keys(session.Query(scanned, lowest, highest).PageSize(5000))
	if err != nil || len(whole) != 250 {
		t.Fatalf("got %d partitions, %v", len(whole), err)
	}
	for name, c := range map[string]struct {
		statement string
		pageSize  int
		fault     Fault
	}{
		"small pages":                  {scanned, 7, Fault{}},
		"pages of one row":             {scanned, 100, Fault{MaxRows: 1}},
		"empty pages":                  {scanned, 100, Fault{EmptyPages: 3}},
		"the first row of each":        {firstRows, 9, Fault{}},
		"the first row, empty pages":   {firstRows, 40, Fault{EmptyPages: 1}},
		"a page that ends at the last": {scanned, 250, Fault{}},
	} {
		fault := server.Inject(c.fault)
		got, err := keys(session.Query(c.statement, lowest, highest).PageSize(c.pageSize))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Errorf("%s: the partitions differ:\n%s", name, diff)
		}
		fault.Remove()
	}
	half, err := keys(session.Query(scanned, lowest, 0))
	if err != nil {
		t.Fatal(err)
	}
	rest, err := keys(session.Query(scanned, 0, highest))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole, append(half, rest...)); diff != "" || len(half) == 0 || len(rest) == 0 {
		t.Errorf("two halves are not the whole:\n%s", diff)
	}
}

func TestDeletesGoByWriteTime(t *testing.T) {
	t.Parallel()
	_, session := start(t, Options{})
	fill(t, session, 2)
	const remove = `DELETE FROM "test"."individual_properties" USING TIMESTAMP ? WHERE "device_id" = ? AND "interface_id" = ?`
	count := func() (n int) {
		if err := session.Query(`SELECT count(*) FROM test.individual_properties`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var written int64
	if err := session.Query("SELECT writetime(datetime_value) FROM test.individual_properties WHERE device_id = ? AND interface_id = ?", realm.DeviceID(0), stream.ID()).Scan(&written); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at   int64
		want int
	}{{written - 1, 2}, {written, 1}, {written, 1}} {
		if err := session.Query(remove, step.at, realm.DeviceID(0), stream.ID()).Exec(); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != step.want {
			t.Errorf("deleted at writetime%+d: %d rows left, want %d", step.at-written, got, step.want)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	server, session := start(t, Options{})
	fill(t, session, 3)
	for name, c := range map[string]struct {
		fault Fault
		want  func(error) bool
	}{
		"read timeout": {Fault{Times: 1, Error: &Error{Code: CodeReadTimeout, Message: "late"}}, func(err error) bool {
			var e *gocql.RequestErrReadTimeout
			return errors.As(err, &e) && e.Message() == "late"
		}},
		"read failure": {Fault{Times: 1, Error: &Error{Code: CodeReadFailure, Message: "broken"}}, func(err error) bool {
			var e *gocql.RequestErrReadFailure
			return errors.As(err, &e)
		}},
		"unavailable": {Fault{Times: 1, Error: &Error{Code: CodeUnavailable, Message: "down"}}, func(err error) bool {
			var e *gocql.RequestErrUnavailable
			return errors.As(err, &e) && e.Required == 2 && e.Alive == 1
		}},
		"overloaded": {Fault{Times: 1, Error: &Error{Code: CodeOverloaded, Message: "busy"}}, func(err error) bool {
			var e gocql.RequestError
			return errors.As(err, &e) && e.Code() == CodeOverloaded
		}},
		"dropped": {Fault{Times: 1, Drop: true}, func(err error) bool { return err != nil }},
	} {
		fault := server.Inject(c.fault)
		// Right after a connection was dropped the driver may have no other.
		var err error
		for fault.Count() == 0 {
			_, err = keys(session.Query(scanned, lowest, highest))
		}
		if !c.want(err) {
			t.Errorf("%s: got %T %v", name, err, err)
		}
		fault.Remove()
	}
	for range 100 {
		if _, err := keys(session.Query(scanned, lowest, highest)); err == nil {
			return
		}
	}
	t.Error("the server does not answer after the faults are gone")
}

func TestRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	server, session := start(t, Options{})
	fill(t, session, 1)
	server.Forget()
	const remove = `DELETE FROM "test"."kv_store" USING TIMESTAMP ? WHERE "group" = ?`
	if err := session.Query(remove, int64(5), "g").Consistency(gocql.All).Exec(); err != nil {
		t.Fatal(err)
	}
	batch := session.NewBatch(gocql.LoggedBatch).WithTimestamp(77)
	batch.SetConsistency(gocql.EachQuorum)
	batch.Query(`DELETE FROM "test"."kv_store" WHERE "group" = ?`, "h")
	batch.Query(`DELETE FROM "test"."kv_store" WHERE "group" = ?`, "i")
	if err := session.ExecuteBatch(batch); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range server.Requests() {
		group, _ := r.Bound("group")
		client := "server"
		if r.ClientTimestamp != nil {
			client = strconv.FormatInt(*r.ClientTimestamp, 10)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d", r.Consistency, group, client, r.Batch))
	}
	want := []string{"ALL g server 0", "EACH_QUORUM h 77 1", "EACH_QUORUM i 77 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestScyllaManner(t *testing.T) {
	t.Parallel()
	_, session := start(t, Options{Scylla: true, TombstonePageLimit: 5})
	fill(t, session, 40)
	const filtered = scanned + ` AND interface_id = ? ALLOW FILTERING`
	err := session.Query(filtered, lowest, highest, stream.ID()).Exec()
	if err == nil || !strings.Contains(err.Error(), "cannot be restricted by both a normal relation and a token relation") {
		t.Errorf("a token and a normal relation: %v", err)
	}
	if err := session.Query("SELECT peer FROM system.peers_v2").Exec(); err == nil {
		t.Error("ScyllaDB has no system.peers_v2")
	}
	for i := range 38 {
		if err := session.Query("DELETE FROM test.individual_datastreams WHERE device_id=? AND interface_id=? AND endpoint_id=? AND path=?",
			realm.DeviceID(i), stream.ID(), realm.EndpointID(stream.Name, 1, "/%{id}/value"), "/0/value").Exec(); err != nil {
			t.Fatal(err)
		}
	}
	empty := 0
	rows := session.Query(scanned+" BYPASS CACHE USING TIMEOUT 60s", lowest, highest).PageSize(10)
	for state := []byte(nil); ; {
		page := rows.PageState(state).Iter()
		if page.NumRows() == 0 {
			empty++
		}
		if state = page.PageState(); len(state) == 0 {
			break
		}
	}
	if empty < 2 {
		t.Errorf("%d empty pages over 38 deleted partitions, want several", empty)
	}
	if left, err := keys(session.Query(scanned, lowest, highest)); err != nil || len(left) != 2 {
		t.Errorf("%d partitions are left, want 2: %v", len(left), err)
	}
}

func TestCassandraManner(t *testing.T) {
	t.Parallel()
	_, session := start(t, Options{Nodes: 2})
	fill(t, session, 1)
	for statement, want := range map[string]string{
		`SELECT DISTINCT device_id, interface_id, endpoint_id FROM test.individual_properties`:                   "SELECT DISTINCT queries must only request partition key columns and/or static columns (not endpoint_id)",
		`SELECT DISTINCT device_id FROM test.individual_properties`:                                              "must request all the partition key columns (missing interface_id)",
		`SELECT path FROM test.individual_properties WHERE interface_id = c238b244-b90f-4c6d-f276-25768bf6abac`:  "use ALLOW FILTERING",
		`SELECT DISTINCT device_id, interface_id FROM test.individual_properties BYPASS CACHE USING TIMEOUT 60s`: "mismatched input 'BYPASS'",
		`SELECT DISTINCT device_id, interface_id FROM test.individual_properties PER PARTITION LIMIT 1`:          "PER PARTITION LIMIT is not allowed with SELECT DISTINCT",
		`SELECT path FROM test.individual_properties WHERE token(interface_id, device_id) > 0`:                   "must be in the partition key order",
		`SELECT nothing FROM test.individual_properties`:                                                         "Undefined column name nothing",
		`SELECT path FROM test.nothing`: "table nothing does not exist",
		`TRUNCATE test.kv_store`:        "no viable alternative",
		`DELETE FROM test.individual_properties WHERE device_id = c238b244-b90f-4c6d-f276-25768bf6abac`: "Some partition key parts are missing",
		`DROP TABLE test.nothing`: "Table 'test.nothing' doesn't exist",
	} {
		if err := session.Query(statement).Exec(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", statement, err, want)
		}
	}
}

func TestNodesCanDisagree(t *testing.T) {
	t.Parallel()
	server, session := start(t, Options{Nodes: 2})
	if err := session.AwaitSchemaAgreement(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Disagree(1, true)
	agreed := make(chan error, 1)
	go func() { agreed <- session.AwaitSchemaAgreement(t.Context()) }()
	select {
	case err := <-agreed:
		t.Fatalf("agreed although the nodes differ: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	server.Disagree(1, false)
	if err := <-agreed; err != nil {
		t.Fatal(err)
	}
}
