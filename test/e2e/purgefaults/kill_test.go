// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"math/rand/v2"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// A record is on disk before the action that it announces, so a kill right
// after it falls into that action.
func describeKills(cluster func() *cassandra.Cluster) {
	for _, c := range []struct {
		target  realm.Interface
		records []string
	}{
		{stream, []string{"header", "metadata", "detach", "detached", "quiesce", "cut", "swept", "groups", "verify"}},
		{properties, []string{"cut", "groups"}},
		{object, []string{"cut", "exported", "drop", "dropped", "swept"}},
	} {
		for _, record := range c.records {
			It("ends the same when it was killed at "+record+" of "+c.target.Name, func(ctx SpecContext) {
				g := newGround(ctx, cluster(), realm.V1_2, "")
				g.furnish(ctx, 6)
				Expect(g.Declare(ctx, c.target, realm.DeviceID(1))).To(Succeed())
				before := g.dump(ctx)
				args := g.confirmed(ctx, c.target, "--backup", filepath.Join(g.state, "backup"))
				g.killAt(ctx, record, args...)
				out := g.holdfast(ctx, args...)
				Expect(out.Code).To(BeZero(), out.Stderr)
				g.expectPurged(ctx, before, c.target)
				Expect(g.records()).To(ContainElement("closed"))
				headers := 0
				for _, have := range g.records() {
					if have == "header" {
						headers++
					}
				}
				Expect(headers).To(Equal(1), "it went on with the same journal")
			}, NodeTimeout(time.Minute))
		}
	}

	It("ends the same when it was killed again and again at random moments of the sweep, and the backup is whole", func(ctx SpecContext) {
		r := rand.New(rand.NewPCG(1, uint64(GinkgoRandomSeed()))) //nolint:gosec // random on purpose, and to be repeated
		g := newGround(ctx, cluster(), realm.V1_0, "")
		g.furnish(ctx, 4)
		g.load(ctx, realm.Load{Interface: stream, Devices: realm.DeviceIDs(10, 250), Paths: 2, Rows: 2})
		before := g.dump(ctx)
		backup := filepath.Join(g.state, "backup")
		args := g.confirmed(ctx, stream, "--backup", backup, "--max-deletes-per-second", "400")
		g.killAt(ctx, "cut", args...)
		killed := 1
		for range 5 {
			run := g.start(ctx, args...)
			select {
			case err := <-run.ended:
				run.ended <- err
			case <-time.After(time.Duration(200+r.IntN(900)) * time.Millisecond):
			}
			if run.kill().Code == -1 {
				killed++
			}
		}
		Expect(killed).To(BeNumerically(">", 2), "it was over too soon to be killed")
		out := g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		g.expectPurged(ctx, before, stream)

		out = g.holdfast(ctx, "restore-interface", "--backup", backup, "--yes")
		Expect(out.Code).To(BeZero(), out.Stderr)
		Expect(g.dump(ctx).Untimed()).To(Equal(before.Untimed()))
	}, NodeTimeout(2*time.Minute))
}
