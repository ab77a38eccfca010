// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"os"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("on two nodes that hold all data both, a purge", Ordered, func() {
	var cluster *cassandra.Cluster
	BeforeAll(func(ctx SpecContext) {
		var err error
		cluster, err = cassandra.Start(ctx, cassandra.Options{Nodes: 2})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() error { return cluster.Close() })
	}, NodeTimeout(2*time.Minute))

	It("changes nothing while a node is stopped, whatever is allowed", func(ctx SpecContext) {
		By("making a realm")
		g := newGround(ctx, cluster, realm.V1_2, "")
		By("furnishing it")
		g.furnish(ctx, 4)
		before := g.dump(ctx)
		By("reading the plans")
		args, dropping := g.confirmed(ctx, stream), g.confirmed(ctx, object)
		By("stopping a node")
		Expect(cluster.Nodes[1].Stop(ctx)).To(Succeed())

		By("being refused by the servers, which cannot read at QUORUM")
		for _, all := range [][]string{args, append(args, "--allow-nodes-down"), append(dropping, "--allow-nodes-down")} {
			out := g.holdfast(ctx, all...)
			Expect(out.Code).To(Equal(1), out.Stderr)
			Expect(out.Stderr).To(ContainSubstring("some nodes that hold the data are down; bring them up"))
		}

		By("starting the node again")
		Expect(cluster.Nodes[1].Start(ctx)).To(Succeed())
		Expect(cmp.Diff(before, g.dump(ctx))).To(BeEmpty(), "something was changed with a node down")

		By("going on when it is back")
		out := g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, stream)
		before = g.dump(ctx)
		By("dropping a table")
		out = g.holdfast(ctx, dropping...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, object)
	}, NodeTimeout(3*time.Minute))

	It("stops when a node is killed in the sweep, is killed itself, and ends the same when the node is back", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_2, "")
		g.furnish(ctx, 4)
		g.load(ctx, realm.Load{Interface: stream, Devices: realm.DeviceIDs(10, 150)})
		before := g.dump(ctx)
		args := g.confirmed(ctx, stream, "--max-deletes-per-second", "50", "--request-timeout", "4s")
		run := g.start(ctx, args...)
		Eventually(g.records).WithTimeout(30 * time.Second).Should(ContainElement("cut"))
		cluster.Nodes[1].Kill()
		out := run.kill()
		Expect(out.Code).To(Equal(-1))

		By("being run again while the node is down")
		again := g.start(ctx, args...)
		Consistently(g.records).WithTimeout(3 * time.Second).ShouldNot(ContainElement("closed"))
		out = again.kill()
		Expect(out.Code).NotTo(BeZero())

		Expect(cluster.Nodes[1].Start(ctx)).To(Succeed())
		out = g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, stream)
	}, NodeTimeout(4*time.Minute))

	It("does not send the DROP with a node killed, and both nodes agree after it", func(ctx SpecContext) {
		g := newGround(ctx, cluster, realm.V1_3, "")
		g.furnish(ctx, 4)
		g.load(ctx, realm.Load{Interface: object, Devices: realm.DeviceIDs(10, 60)})
		before := g.dump(ctx)
		args := g.confirmed(ctx, object, "--max-deletes-per-second", "20", "--request-timeout", "4s")
		run := g.start(ctx, args...)
		Eventually(g.records).WithTimeout(30 * time.Second).Should(ContainElement("cut"))
		cluster.Nodes[1].Kill()
		Consistently(g.records).WithTimeout(4 * time.Second).ShouldNot(ContainElement("drop"))
		Expect(run.cmd.Process.Signal(os.Interrupt)).To(Succeed())
		out := run.wait()
		Expect(out.Code).To(BeNumerically(">", 0), "an interrupt ends it in order: %s", out.Stderr)
		Expect(g.records()).NotTo(ContainElement("drop"))

		Expect(cluster.Nodes[1].Start(ctx)).To(Succeed())
		Expect(g.dump(ctx)[object.Table()]).To(HaveLen(len(before[object.Table()])), "the table is as it was")
		out = g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, object)
		Expect(slices.Index(g.records(), "dropped")).To(BeNumerically(">", slices.Index(g.records(), "drop")))
		for range 10 { // either node may answer
			Expect(g.Exec(ctx, "SELECT device_id FROM "+g.Keyspace+"."+object.Table())).NotTo(Succeed())
		}
	}, NodeTimeout(5*time.Minute))
})
