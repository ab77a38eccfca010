// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"context"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// write goes on writing to new partitions of the interface until it is told to
// stop; the function that it returns does that.
func (g *ground) write(ctx context.Context, i realm.Interface) func() {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		defer GinkgoRecover()
		for n := 1000; ctx.Err() == nil; n++ {
			if _, err := g.Load(ctx, realm.Load{Interface: i, Devices: realm.DeviceIDs(n, 1), WithoutPathRows: true}); err != nil && ctx.Err() == nil {
				Fail("write: " + err.Error())
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

func describeWriters(cluster func() *cassandra.Cluster) {
	It("catches a writer that goes on for a while with the next sweep", func(ctx SpecContext) {
		g := newGround(ctx, cluster(), realm.V1_3, "")
		g.furnish(ctx, 5)
		before := g.dump(ctx)
		stop := g.write(ctx, stream)
		DeferCleanup(stop)
		run := g.start(ctx, g.confirmed(ctx, stream)...)
		Eventually(g.records).WithTimeout(30 * time.Second).Should(ContainElement("swept"))
		stop()
		out := run.wait()
		Expect(out.Code).To(BeZero(), out.Stderr)
		Expect(slices.Index(g.records(), "cut")).NotTo(Equal(lastIndex(g.records(), "cut")), "one sweep cannot have been enough")
		g.expectPurged(ctx, before, stream)
	}, NodeTimeout(time.Minute))

	It("gives up after five sweeps on a writer that never stops, and can be taken up again", func(ctx SpecContext) {
		g := newGround(ctx, cluster(), realm.Master, "")
		g.furnish(ctx, 5)
		before := g.dump(ctx)
		stop := g.write(ctx, stream)
		DeferCleanup(stop)
		args := g.confirmed(ctx, stream)
		out := g.holdfast(ctx, args...)
		Expect(out.Code).NotTo(BeZero())
		Expect(out.Stderr).To(ContainSubstring("data updater"), "it says who writes")
		cuts := 0
		for _, record := range g.records() {
			if record == "cut" {
				cuts++
			}
		}
		Expect(cuts).To(Equal(5))
		Expect(g.records()).NotTo(ContainElement("closed"))
		stop()
		out = g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, stream)
	}, NodeTimeout(2*time.Minute))
}

func lastIndex(all []string, one string) int {
	for i, have := range slices.Backward(all) {
		if have == one {
			return i
		}
	}
	return -1
}
