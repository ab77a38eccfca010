// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"context"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// tombstoneThreshold is low enough to be passed quickly. The server's own is
// 100000.
const tombstoneThreshold = 600

// bury puts more deleted rows than the server reads over before the first live
// row of one of the interface's partitions: until they are compacted away, every
// scan that meets the partition fails.
func (g *ground) bury(ctx context.Context, i realm.Interface, device int) {
	GinkgoHelper()
	id := realm.DeviceIDs(device, 1)
	g.load(ctx, realm.Load{Interface: i, Devices: id, Rows: tombstoneThreshold + 100})
	for _, m := range i.Mappings {
		key := []any{id[0], i.ID(), realm.EndpointID(i.Name, i.Major, m.Endpoint), "/0/value"}
		where := " FROM " + g.Keyspace + ".individual_datastreams WHERE device_id = ? AND interface_id = ? AND endpoint_id = ? AND path = ?"
		var times []time.Time
		var at time.Time
		rows := g.Session.Query("SELECT value_timestamp"+where, key...).WithContext(ctx).Iter()
		for rows.Scan(&at) {
			times = append(times, at)
		}
		Expect(rows.Close()).To(Succeed())
		Expect(len(times)).To(BeNumerically(">", tombstoneThreshold))
		for _, at := range times[:len(times)-1] {
			Expect(g.Exec(ctx, "DELETE"+where+" AND value_timestamp = ?", append(key[:4:4], at)...)).To(Succeed())
		}
		Expect(g.Exec(ctx, "SELECT value_timestamp"+where, key...)).NotTo(Succeed(), "the partition can be read, so this proves nothing")
	}
}

func describeTombstones(cluster func() *cassandra.Cluster) {
	It("deletes a partition full of deleted rows by the key that its path row gives", func(ctx SpecContext) {
		g := newGround(ctx, cluster(), realm.V1_1, "")
		g.furnish(ctx, 5)
		target := realm.Interface{Name: "com.test.Buried", Major: 1, Kind: realm.Datastream, Mappings: other.Mappings}
		g.install(ctx, realm.Load{Interface: target, Devices: realm.DeviceIDs(0, 5)})
		Expect(g.AddDevice(ctx, realm.Device{ID: realm.DeviceID(77), Introspection: map[string]int{"com.test.None": 1}, Old: map[string]int{target.Name: 1}})).To(Succeed())
		before := g.dump(ctx)
		g.bury(ctx, target, 77)
		out := g.holdfast(ctx, g.confirmed(ctx, target)...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, target)
	}, NodeTimeout(2*time.Minute))

	It("deletes all that it can reach beside another interface's partition full of deleted rows, and says what it could not read", func(ctx SpecContext) {
		g := newGround(ctx, cluster(), realm.V1_1, "")
		g.furnish(ctx, 5)
		g.load(ctx, realm.Load{Interface: stream, Devices: realm.DeviceIDs(100, 200), WithoutPathRows: true})
		before := g.dump(ctx)
		g.bury(ctx, other, 77)
		out := g.holdfast(ctx, g.confirmed(ctx, stream, "--backup", filepath.Join(g.state, "backup"))...)
		Expect(out.Code).NotTo(BeZero(), "a range that nobody could read is not clean")
		Expect(out.Stdout + out.Stderr).To(ContainSubstring("individual_datastreams"))
		Expect(out.Stderr).To(MatchRegexp(`tombstone|TOMBSTONE|deleted rows|rows deleted`))
		Expect(g.Exec(ctx, "DELETE FROM "+g.Keyspace+".individual_datastreams WHERE device_id = ? AND interface_id = ? AND endpoint_id = ? AND path = ?",
			realm.DeviceID(77), other.ID(), realm.EndpointID(other.Name, 1, other.Mappings[0].Endpoint), "/0/value")).To(Succeed())
		Expect(g.dump(ctx)["individual_datastreams"]).To(Equal(before.Without(stream)["individual_datastreams"]))

		By("going on when the partition is gone")
		out = g.holdfast(ctx, g.confirmed(ctx, stream)...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		Expect(g.dump(ctx).Count(stream)).To(BeZero())
	}, NodeTimeout(2*time.Minute))
}
