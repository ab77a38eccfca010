// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/recovery/cql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("what was deleted by hand", func() {
	values := datastream("com.example.Values", 1)
	forget := func(ctx SpecContext, p *place, i realm.Interface) {
		Expect(p.Exec(ctx, "DELETE FROM "+p.Keyspace+".interfaces WHERE name = ? AND major_version = ?", i.Name, i.Major)).To(Succeed())
	}

	It("check 18: a row that is gone is said so, and --orphan purges by the derived id", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		position := object("com.example.Position", 1)
		p.load(ctx, values, 5)
		p.load(ctx, position, 5)
		p.load(ctx, datastream("com.example.Other", 1), 5)
		forget(ctx, p, values)
		forget(ctx, p, position)
		before := p.dump(ctx)
		r := holdfast(ctx, p.purgeArgs(values)...)
		Expect(r.code).To(Equal(2))
		Expect(r.err).To(And(ContainSubstring("has no row any more"), ContainSubstring("--orphan")))

		found := holdfast(ctx, p.args("find-orphans", "-o", "json")...)
		Expect(found.code).To(Equal(0), found.err)
		var orphans []struct {
			InterfaceID, Name, Table string
			Major                    int
			Datastreams, Properties  int64
		}
		Expect(json.Unmarshal([]byte(found.out), &orphans)).To(Succeed())
		Expect(orphans).To(HaveLen(3))
		Expect(orphans[0].Name).To(Equal(position.Name))
		Expect(orphans[1].Name).To(Equal(values.Name))
		Expect(orphans[1].InterfaceID).To(Equal(values.ID().String()))
		Expect(orphans[1].Datastreams).To(BeNumerically("==", 20))
		Expect(orphans[1].Properties).To(BeNumerically("==", 5))
		Expect(orphans[2].Table).To(Equal(position.Table()))

		r = p.purge(ctx, values, "--orphan")
		Expect(r.code).To(Equal(0), r.err)
		r = p.purge(ctx, position, "--orphan")
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(values).Without(position)))
		Expect(holdfast(ctx, p.args("find-orphans")...).err).To(ContainSubstring("no orphans"))
	})

	It("check 18: without any trace there is nothing to do", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 5)
		r := holdfast(ctx, p.purgeArgs(datastream("com.example.Never", 1), "--orphan")...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("nothing to do"))
	})

	It("check 18: data alone, without endpoints, is found by the name", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 5)
		before := p.dump(ctx)
		forget(ctx, p, values)
		Expect(p.Exec(ctx, "DELETE FROM "+p.Keyspace+".endpoints WHERE interface_id = ?", values.ID())).To(Succeed())
		found := holdfast(ctx, p.args("find-orphans")...)
		Expect(found.out).To(And(ContainSubstring(values.ID().String()), ContainSubstring("nothing tells its name")))
		r := p.purge(ctx, values, "--orphan")
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
	})

	It("does not touch the table of another interface with the same table name", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		live := object("com.example.Position", 1)
		p.load(ctx, live, 3)
		before := p.dump(ctx)
		r := p.purge(ctx, realm.Interface{Name: "com.example.position", Major: 1, Kind: realm.Object}, "--orphan")
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before))
	})

	It("check 19: a row with another id is refused without --allow-id-mismatch", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 5)
		stored := cql.UUID{1, 2, 3}
		Expect(p.Exec(ctx, "UPDATE "+p.Keyspace+".interfaces SET interface_id = ? WHERE name = ? AND major_version = ?", stored, values.Name, values.Major)).To(Succeed())
		Expect(p.Exec(ctx, "INSERT INTO "+p.Keyspace+".individual_datastreams (device_id, interface_id, endpoint_id, path, value_timestamp, reception_timestamp, reception_timestamp_submillis) VALUES (?, ?, ?, '/x', 1, 1, 1)", stored, stored, stored)).To(Succeed())
		before := p.dump(ctx)
		r := p.purge(ctx, values)
		Expect(r.code).To(Equal(4))
		Expect(r.err).To(And(ContainSubstring(stored.String()), ContainSubstring(values.ID().String()), ContainSubstring("--allow-id-mismatch")))
		Expect(p.dump(ctx)).To(Equal(before))
		r = p.purge(ctx, values, "--allow-id-mismatch")
		Expect(r.code).To(Equal(0), r.err)
		after := p.dump(ctx)
		Expect(after["individual_datastreams"]).To(HaveLen(len(before["individual_datastreams"])-1), "what has the stored id goes")
		Expect(after["interfaces"]).To(BeEmpty())
	})
})
