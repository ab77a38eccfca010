// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purgefaults

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// names are alike on purpose. Those of the second line would share a table with
// the one above, were both objects: Astarte refuses that.
var names = []string{
	"com.test.Near", "com.test.Near0", "com.test.Nea", "com.test.sub.Near", "com.test.NearAVeryLongNameWhoseTableIsHashedAltogether",
	"com.test.near", "com.te-st.Near",
}

func randomInterface(r *rand.Rand, taken map[string]bool) (realm.Interface, bool) {
	kinds := []realm.Kind{realm.Properties, realm.Datastream, realm.Object}
	i := realm.Interface{
		Name: names[r.IntN(len(names))], Major: []int{0, 1, 10, 11}[r.IntN(4)], Minor: r.IntN(3), Kind: kinds[r.IntN(3)],
		ServerOwned: r.IntN(2) == 0, ExplicitTimestamp: r.IntN(2) == 0,
	}
	for range 1 + r.IntN(3) {
		i.Mappings = append(i.Mappings, realm.Mapping{Endpoint: "/%{id}/m" + strconv.Itoa(len(i.Mappings)), Type: realm.ValueType(1 + r.IntN(14))})
	}
	for _, key := range []string{i.Name + strconv.Itoa(i.Major), realm.ObjectTable(i.Name, i.Major)} {
		if taken[key] {
			return i, false
		}
	}
	taken[i.Name+strconv.Itoa(i.Major)], taken[realm.ObjectTable(i.Name, i.Major)] = true, true
	return i, true
}

// randomRealm fills a realm and returns its interfaces.
func randomRealm(ctx context.Context, r *rand.Rand, g *ground) []realm.Interface {
	GinkgoHelper()
	var interfaces []realm.Interface
	taken := map[string]bool{}
	for len(interfaces) < 2+r.IntN(4) {
		i, fits := randomInterface(r, taken)
		if !fits {
			continue
		}
		interfaces = append(interfaces, i)
		devices := realm.DeviceIDs(r.IntN(5), r.IntN(12))
		g.install(ctx, realm.Load{Interface: i, Devices: devices, Paths: 1 + r.IntN(3), Rows: 1 + r.IntN(3), WithoutPathRows: r.IntN(4) == 0})
		g.load(ctx, realm.Load{Interface: i, Devices: realm.DeviceIDs(20, r.IntN(3)), TTL: 100_000})
		for n, id := range devices {
			if n%3 == 0 {
				Expect(g.Declare(ctx, i, id)).To(Succeed())
			}
		}
		// Groups that belong to nobody, but look as if.
		for _, group := range []string{"-v01", "-v0 ", "-v2"} {
			Expect(g.Exec(ctx, "INSERT INTO "+g.Keyspace+`.kv_store ("group", key, value) VALUES (?, 'k', 0x01)`, "devices-by-interface-"+i.Name+group)).To(Succeed())
		}
	}
	for _, id := range realm.DeviceIDs(0, 10) {
		old := map[string]int{}
		for _, i := range interfaces {
			if r.IntN(2) == 0 {
				old[i.Name] = i.Major
			}
		}
		Expect(g.AddDevice(ctx, realm.Device{ID: id, Introspection: map[string]int{"com.test.None": 1}, Old: old, Groups: []string{"all"}})).To(Succeed())
	}
	for _, i := range interfaces[1:] {
		Expect(g.AddTrigger(ctx, realm.Trigger{Name: "on " + i.Name + strconv.Itoa(i.Major), Object: i.ID(), ObjectType: 2, Interface: i.Name, Major: i.Major})).To(Succeed())
	}
	return interfaces
}

func describeProperty(cluster func() *cassandra.Cluster) {
	for seed := range 6 {
		It("leaves no trace and touches nothing else, in random realm "+strconv.Itoa(seed), func(ctx SpecContext) {
			r := rand.New(rand.NewPCG(uint64(seed), uint64(GinkgoRandomSeed()))) //nolint:gosec // random on purpose, and to be repeated
			versions := realm.Versions()
			version := versions[seed%len(versions)]
			instance := ""
			if version != realm.V1_0 && version != realm.V1_1 && seed%2 == 0 {
				instance = "inst-" + strconv.Itoa(int(realms.Load()))
			}
			g, neighbour := newGround(ctx, cluster(), version, instance), newGround(ctx, cluster(), version, instance)
			interfaces := randomRealm(ctx, r, g)
			target := interfaces[0]
			neighbour.install(ctx, realm.Load{Interface: target, Devices: realm.DeviceIDs(0, 3), Paths: 2})
			before, beside := g.dump(ctx), neighbour.dump(ctx)
			Expect(before.Count(target)).To(BeNumerically(">", 0))

			out := g.holdfast(ctx, g.confirmed(ctx, target)...)
			Expect(out.Code).To(BeZero(), "%s v%d: %s", target.Name, target.Major, out.Stderr)
			g.expectPurged(ctx, before, target)
			Expect(neighbour.dump(ctx)).To(Equal(beside), "the other realm has changed")
		}, NodeTimeout(2*time.Minute))
	}
}
