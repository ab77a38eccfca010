// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

func describeMemory(cluster func() *cassandra.Cluster) {
	It("stays below 150 MiB, with a backup of many partitions and of a large one", func(ctx SpecContext) {
		g := newGround(ctx, cluster(), realm.V1_2, "")
		wide := realm.Interface{Name: "com.test.Wide", Major: 1, Kind: realm.Datastream, Mappings: []realm.Mapping{{Endpoint: "/%{id}/value", Type: realm.BinaryBlobArray}}}
		for _, i := range []realm.Interface{wide, other} {
			g.install(ctx, realm.Load{Interface: i, Devices: realm.DeviceIDs(0, 1500), Paths: 10})
		}
		g.load(ctx, realm.Load{Interface: wide, Devices: realm.DeviceIDs(2000, 1), Rows: 30000})
		args := g.confirmed(ctx, wide, "--backup", filepath.Join(g.state, "backup"))
		out := g.holdfast(ctx, args...)
		Expect(out.Code).To(BeZero(), out.Stderr)
		AddReportEntry("peak resident MiB", out.RSS>>20)
		Expect(out.RSS).To(BeNumerically("<", 150<<20))
		Expect(out.RSS).To(BeNumerically(">", 5<<20), "that is no measurement")
	}, NodeTimeout(3*time.Minute))
}
