// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// byHand does what Astarte's manual says for a draft that is an individual
// datastream.
func (g *ground) byHand(ctx SpecContext, i realm.Interface) {
	GinkgoHelper()
	Expect(g.Exec(ctx, "DELETE FROM "+g.Keyspace+".interfaces WHERE name = ? AND major_version = ?", i.Name, i.Major)).To(Succeed())
	device, interfaceID, endpoint, path := realm.DeviceID(0), i.ID(), i.ID(), ""
	rows := g.Session.Query("SELECT DISTINCT device_id, interface_id, endpoint_id, path FROM "+g.Keyspace+
		".individual_datastreams WHERE interface_id = ? ALLOW FILTERING", i.ID()).WithContext(ctx).Iter()
	for rows.Scan(&device, &interfaceID, &endpoint, &path) {
		Expect(g.Exec(ctx, "DELETE FROM "+g.Keyspace+".individual_datastreams WHERE device_id = ? AND interface_id = ? AND endpoint_id = ? AND path = ?",
			device, interfaceID, endpoint, path)).To(Succeed())
	}
	Expect(rows.Close()).To(Succeed())
	Expect(g.Exec(ctx, "DELETE FROM "+g.Keyspace+`.kv_store WHERE "group" = ?`, "devices-by-interface-"+i.Name+"-v0")).To(Succeed())
}

func describeManual(cluster func() *cassandra.Cluster) {
	It("ends what the manual procedure has begun, which leaves what the runbook says", func(ctx SpecContext) {
		g := newGround(ctx, cluster(), realm.V1_0, "")
		g.furnish(ctx, 4)
		draft := realm.Interface{Name: "com.test.Draft", Kind: realm.Datastream, Mappings: stream.Mappings}
		g.install(ctx, realm.Load{Interface: draft, Devices: realm.DeviceIDs(0, 4), Paths: 2})
		Expect(g.Declare(ctx, draft, realm.DeviceID(1))).To(Succeed())
		before := g.dump(ctx)
		g.byHand(ctx, draft)

		after := g.dump(ctx)
		left := func(table string) int { return len(after[table]) - len(before.Without(draft)[table]) }
		Expect(left("interfaces")).To(BeZero())
		Expect(left("individual_datastreams")).To(BeZero())
		Expect(left("endpoints")).To(Equal(2))
		Expect(left("individual_properties")).To(Equal(4*2*2), "the path rows")
		Expect(left("kv_store")).To(Equal(1), "the group of devices with data")

		out := g.holdfast(ctx, "find-orphans", "--realm", g.Realm.Realm, "-o", "json")
		Expect(out.Code).To(BeZero(), out.Stderr)
		Expect(out.Stdout).To(And(ContainSubstring(draft.Name), ContainSubstring(draft.ID().String())))
		digest := g.digest(ctx, draft, "--orphan")
		out = g.holdfast(ctx, g.target(draft, "--orphan", "--writers-stopped", "--confirm", digest)...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, draft)
	}, NodeTimeout(time.Minute))
}

// The commands of the runbook are those that the program takes.
var _ = Describe("the runbook", func() {
	It("has commands that the program knows", func(ctx SpecContext) {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "runbooks", "purge-interface.md"))
		Expect(err).NotTo(HaveOccurred())
		g := &ground{state: GinkgoT().TempDir()}
		commands := 0
		for line := range strings.Lines(string(text)) {
			args, found := strings.CutPrefix(strings.TrimSpace(line), "holdfast recovery ")
			if !found {
				continue
			}
			commands++
			args = strings.ReplaceAll(args, "CONNECTION", "--hosts db1,db2:9142 --datacenter dc1 --username u --password-file f --tls-ca a --tls-cert c --tls-key k --tls-server-name n")
			out := g.holdfast(ctx, append(strings.Fields(args), "--help")...)
			Expect(out.Code).To(BeZero(), "%s: %s", line, out.Stderr)
		}
		Expect(commands).To(BeNumerically(">", 8))
	})
})
