// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("object interfaces", func() {
	It("check 10: the table is dropped and the path rows go; capitals in a long name are no obstacle", func(ctx SpecContext) {
		p := newPlace(ctx, realm.Master)
		target := object("com.example.very.long.interface.name.for.ObjectTable", 12)
		Expect(target.Storage()).NotTo(Equal(target.Table()), "the name stored has capitals")
		p.load(ctx, target, 5)
		p.load(ctx, object("com.example.very.long.interface.name.for.ObjectTable", 11), 5)
		before := p.dump(ctx)
		r := p.purge(ctx, target)
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.out).To(ContainSubstring("dropped table " + target.Table()))
		Expect(r.out).To(ContainSubstring("nodetool clearsnapshot"))
		Expect(p.dump(ctx)).To(Equal(before.Without(target)))
	})

	It("check 11: a table that is missing is a note, and the rest is purged", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		target := object("com.example.Position", 1)
		p.load(ctx, target, 3)
		Expect(p.Exec(ctx, "DROP TABLE "+p.Keyspace+"."+target.Table())).To(Succeed())
		before := p.dump(ctx)
		r := p.purge(ctx, target)
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("does not exist: there is nothing to drop"))
		Expect(p.dump(ctx)).To(Equal(before.Without(target)))
	})

	DescribeTable("check 12: a row that names another table is refused, and no flag helps", func(ctx SpecContext, spoil func(SpecContext, *place, realm.Interface), text string) {
		p := newPlace(ctx, realm.V1_2)
		target := object("com.example.Position", 1)
		p.load(ctx, target, 3)
		p.load(ctx, datastream("com.example.Values", 1), 3)
		spoil(ctx, p, target)
		before := p.dump(ctx)
		made := p.plan(ctx, target)
		r := holdfast(ctx, p.purgeArgs(target, "--writers-stopped", "--confirm", made.Digest, "--allow-declared", "--allow-triggers", "--allow-nodes-down", "--allow-id-mismatch")...)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(And(ContainSubstring(text), ContainSubstring("nothing overrides this")))
		Expect(p.dump(ctx)).To(Equal(before))
		Expect(p.journals(target)).To(BeEmpty())
	},
		Entry("the table of the devices", set("storage = 'devices'"), `names the table "devices"`),
		Entry("a shared table", set("storage = 'individual_properties'"), `names the table "individual_properties"`),
		Entry("the table of another name", set("storage = 'com_example_other_v1'"), `would be "com_example_position_v1"`),
		Entry("a storage type that Astarte never writes", set("storage_type = 4"), "storage type 4 is not one that Astarte writes"),
		Entry("an individual datastream in an own table", set("aggregation = 1"), "not an object datastream"),
		Entry("a shared storage type with an own table", set("storage_type = 2"), "Astarte keeps in individual_datastreams"),
		Entry("two rows that share the table", func(ctx SpecContext, p *place, i realm.Interface) {
			Expect(p.Register(ctx, object("com.example.Posi-tion.X", 1))).To(Succeed())
			Expect(p.Exec(ctx, "UPDATE "+p.Keyspace+".interfaces SET storage = ? WHERE name = 'com.example.Posi-tion.X' AND major_version = 1", i.Storage())).To(Succeed())
		}, "stores its data in the same table"),
		Entry("a table of another shape", func(ctx SpecContext, p *place, i realm.Interface) {
			Expect(p.Exec(ctx, "DROP TABLE "+p.Keyspace+"."+i.Table())).To(Succeed())
			Expect(p.Exec(ctx, "CREATE TABLE "+p.Keyspace+"."+i.Table()+" (device_id uuid, path varchar, v_temp double, PRIMARY KEY (device_id, path))")).To(Succeed())
		}, "does not have the primary key of an object table"),
	)

	It("check 32: nodes that disagree about the schema after the DROP are no success", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{Nodes: 2})
		target := object("com.example.Position", 1)
		p.load(ctx, target, 3)
		args := p.confirmed(ctx, target)
		s.Inject(fakecql.Fault{Match: fakecql.Containing("DROP TABLE"), Times: 1, Do: func(fakecql.Request) { s.Disagree(1, true) }})
		r := holdfast(ctx, append(args, "--request-timeout", "5s")...)
		Expect(r.code).To(Equal(3))
		Expect(r.err).To(And(ContainSubstring("different schema versions"), ContainSubstring("run the same command again")))
		Expect(p.records(target)).NotTo(ContainSubstring(`"dropped"`))
		s.Disagree(1, false)
		r = holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.records(target)).To(ContainSubstring(`"closed"`))
	}, NodeTimeout(2*time.Minute))
})

// set spoils the row of the interface.
func set(assignment string) func(SpecContext, *place, realm.Interface) {
	return func(ctx SpecContext, p *place, i realm.Interface) {
		Expect(p.Exec(ctx, "UPDATE "+p.Keyspace+".interfaces SET "+assignment+" WHERE name = ? AND major_version = ?", i.Name, i.Major)).To(Succeed())
	}
}
