// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"fmt"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("the fake server", func() {
	It("answers what the real one answers", func(ctx SpecContext) {
		cluster, err := Start(ctx, Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(cluster.Close)
		server, err := fakecql.Start(fakecql.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(server.Close)
		pretend := &Cluster{Hosts: server.Hosts()}
		DeferCleanup(pretend.Close)

		answers := func(c *Cluster) []string {
			session, err := c.Session()
			Expect(err).NotTo(HaveOccurred())
			seed(ctx, session)
			var all []string
			for _, q := range questions {
				all = append(all, q.text+": "+answer(session, q))
			}
			return all
		}
		Expect(cmp.Diff(answers(cluster), answers(pretend))).To(BeEmpty(), "- the real one, + the fake")
	}, NodeTimeout(2*time.Minute))
})

func seed(ctx SpecContext, session *gocql.Session) {
	r, err := realm.Create(ctx, session, realm.Master, realm.NamesOf(realm.Master, "test", ""))
	Expect(err).NotTo(HaveOccurred())
	mappings := []realm.Mapping{{Endpoint: "/%{id}/a", Type: realm.Integer}, {Endpoint: "/%{id}/b", Type: realm.StringArray}}
	devices := []gocql.UUID{}
	for i := range 20 {
		devices = append(devices, realm.DeviceID(i))
		Expect(r.AddDevice(ctx, realm.Device{ID: devices[i], Introspection: map[string]int{"com.test.S": 0}})).To(Succeed())
	}
	for _, kind := range []realm.Kind{realm.Properties, realm.Datastream, realm.Object} {
		i := realm.Interface{Name: fmt.Sprintf("com.test.K%d", kind), Kind: kind, Mappings: mappings}
		Expect(r.Install(ctx, i)).To(Succeed())
		_, err := r.Load(ctx, realm.Load{Interface: i, Devices: devices, Paths: 2, Rows: 3, Timestamp: 1_000_000})
		Expect(err).NotTo(HaveOccurred())
	}
}

type question struct {
	text   string
	values []any
}

// questions are asked in this order; some of them change what the next ones find.
var questions = []question{
	{"SELECT token(device_id, interface_id), device_id, interface_id, path, datetime_value, stringarray_value FROM test.individual_properties", nil},
	{"SELECT DISTINCT device_id, interface_id, endpoint_id, path FROM test.individual_datastreams WHERE token(device_id, interface_id, endpoint_id, path) > ? AND token(device_id, interface_id, endpoint_id, path) <= ?", []any{-1 << 62, 1 << 62}},
	{"SELECT device_id, path FROM test.com_test_k5_v0 WHERE token(device_id, path) > ? AND token(device_id, path) <= ? PER PARTITION LIMIT 1", []any{0, 1<<63 - 1}},
	{"SELECT token(device_id), introspection FROM test.devices", nil},
	{"SELECT writetime(integer_value), ttl(integer_value), integer_value FROM test.individual_datastreams", nil},
	{"SELECT name, major_version, storage, storage_type FROM test.interfaces", nil},
	{"SELECT column_name, kind, position, type, clustering_order FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?", []any{"test", "individual_datastreams"}},
	{"SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", []any{"test"}},
	{"SELECT value FROM test.kv_store WHERE \"group\" = 'astarte' AND key = 'schema_version'", nil},
	{"SELECT DISTINCT device_id, interface_id, endpoint_id FROM test.individual_properties", nil},
	{"SELECT DISTINCT device_id FROM test.individual_properties", nil},
	{"SELECT path FROM test.individual_properties WHERE endpoint_id = ?", []any{realm.DeviceID(1)}},
	{"SELECT DISTINCT device_id, interface_id FROM test.individual_properties PER PARTITION LIMIT 1", nil},
	{"SELECT path FROM test.nothing", nil},
	{"SELECT nothing FROM test.devices", nil},
	{"DROP TABLE test.nothing", nil},
	{"DELETE FROM test.individual_properties USING TIMESTAMP 999999 WHERE device_id = ? AND interface_id = ?", []any{realm.DeviceID(1), realm.InterfaceID("com.test.K1", 0)}},
	{"SELECT count(*) FROM test.individual_properties", nil},
	{"DELETE FROM test.individual_properties USING TIMESTAMP 1000000 WHERE device_id = ? AND interface_id = ?", []any{realm.DeviceID(1), realm.InterfaceID("com.test.K1", 0)}},
	{"SELECT count(*) FROM test.individual_properties", nil},
	{"DROP TABLE test.com_test_k5_v0", nil},
	{"SELECT path FROM test.com_test_k5_v0", nil},
	{"SELECT device_id, path FROM test.individual_properties WHERE token(device_id, interface_id) > 0 AND interface_id = ? PER PARTITION LIMIT 1 ALLOW FILTERING", []any{realm.InterfaceID("com.test.K2", 0)}},
}

// answer is everything a statement gives: its rows cell by cell, or the code and
// text of the error.
func answer(session *gocql.Session, q question) string {
	rows := session.Query(q.text, q.values...).PageSize(7).Iter()
	cells := make([]raw, len(rows.Columns()))
	targets := make([]any, len(cells))
	for i := range cells {
		targets[i] = &cells[i]
	}
	var all string
	for rows.Scan(targets...) {
		all += fmt.Sprintln(cells)
	}
	if err := rows.Close(); err != nil {
		return err.Error()
	}
	return all
}

// raw is a cell as it was sent.
type raw string

// UnmarshalCQL keeps the bytes.
func (r *raw) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	*r = raw(fmt.Sprintf("%x", data))
	if data == nil {
		*r = "null"
	}
	return nil
}
