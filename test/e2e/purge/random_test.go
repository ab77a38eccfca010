// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("random realms", func() {
	It("after a purge no trace of the target is left, and every other byte is as it was", func(ctx SpecContext) {
		seed := GinkgoRandomSeed()
		random := rand.New(rand.NewPCG(uint64(seed), 2)) //nolint:gosec // a seed
		for round := range 4 {
			By(fmt.Sprintf("round %d of seed %d", round, seed))
			versions := realm.Versions()
			p := newPlace(ctx, versions[random.IntN(len(versions))])
			other := newPlace(ctx, realm.V1_0)
			var all []realm.Interface
			for _, name := range []string{"com.example.X", "com.example.X-v0.Y", "com.example.x", "com.example.XX", "X", fmt.Sprintf("org.long.interface.name.of.some.random.Thing%d", random.IntN(1000))} {
				for _, major := range []int{0, 1, 10} {
					if random.IntN(2) == 0 {
						continue
					}
					i := realm.Interface{
						Name: name, Major: major, Kind: []realm.Kind{realm.Properties, realm.Datastream, realm.Object}[random.IntN(3)],
						ExplicitTimestamp: random.IntN(2) == 0, ServerOwned: random.IntN(2) == 0,
						Mappings: mappings(realm.ValueType(1+random.IntN(14)), realm.ValueType(1+random.IntN(14))),
					}
					if name == "com.example.x" && i.Kind == realm.Object {
						i.Kind = realm.Datastream // Astarte refuses two names for one table
					}
					all = append(all, i)
				}
			}
			if len(all) == 0 {
				all = append(all, datastream("com.example.X", 0))
			}
			for _, i := range all {
				for _, where := range []*place{p, other} {
					Expect(where.Install(ctx, i)).To(Succeed())
					_, err := where.Load(ctx, realm.Load{Interface: i, Devices: ids(2 + random.IntN(6)), Paths: 1 + random.IntN(3), Rows: 1 + random.IntN(3)})
					Expect(err).NotTo(HaveOccurred())
					Expect(where.Declare(ctx, i, realm.DeviceID(random.IntN(5)))).To(Succeed())
				}
			}
			target := all[random.IntN(len(all))]
			before, elsewhere := p.dump(ctx), other.dump(ctx)
			dir := filepath.Join(GinkgoT().TempDir(), "backup")
			r := p.purge(ctx, target, "--backup", dir)
			Expect(r.code).To(Equal(0), r.err)
			Expect(p.dump(ctx)).To(Equal(before.Without(target)), fmt.Sprint(target))
			Expect(other.dump(ctx)).To(Equal(elsewhere))
			r = holdfast(ctx, "recovery", "restore-interface", "--hosts", p.hosts[0], "--backup", dir, "--yes")
			Expect(r.code).To(Equal(0), r.err)
			Expect(p.dump(ctx).Untimed()).To(Equal(before.Untimed()), fmt.Sprint(target))
		}
	})
})
