// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("names", func() {
	values := datastream("com.example.Values", 1)

	It("check 01: an unknown realm is an input error that names keyspace and realms", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		r := holdfast(ctx, "recovery", "purge-interface", "--hosts", p.hosts[0], "--realm", "nosuchrealm", "--interface", values.Name, "--major", "1", "--journal", p.journal)
		Expect(r.code).To(Equal(2))
		Expect(r.err).To(And(ContainSubstring(`realm "nosuchrealm" is not in this database`), ContainSubstring("its keyspace would be nosuchrealm"), ContainSubstring(p.Names.Realm)))
		Expect(p.journal).To(BeADirectory())
		Expect(p.journals(values)).To(BeEmpty())
	})

	It("check 02: the instance id is part of the keyspace", func(ctx SpecContext) {
		names := realm.NamesOf(realm.V1_2, "shop", "My-Inst_1")
		p := placeOn(ctx, session, server.Hosts, names, realm.V1_2)
		p.load(ctx, values, 3)
		Expect(p.Keyspace).To(Equal("myinst1shop"))
		wrong := holdfast(ctx, p.purgeArgs(values, "--instance-id", "other", "--dry-run")...)
		Expect(wrong.code).To(Equal(2))
		Expect(wrong.err).To(ContainSubstring("othershop"))
		none := holdfast(ctx, p.purgeArgs(values, "--dry-run")...)
		Expect(none.code).To(Equal(2))
		right := p.purge(ctx, values, "--instance-id", "My-Inst_1")
		Expect(right.code).To(Equal(0), right.err)
		Expect(p.dump(ctx).Count(values)).To(BeZero())
	})

	It("check 03: an unknown interface is an input error that suggests names and majors", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 3)
		p.load(ctx, datastream("com.example.Values", 2), 3)
		before := p.dump(ctx)
		r := holdfast(ctx, p.purgeArgs(datastream("com.example.Valeus", 1))...)
		Expect(r.code).To(Equal(2))
		Expect(r.err).To(ContainSubstring("did you mean com.example.Values?"))
		r = holdfast(ctx, p.purgeArgs(datastream("com.example.Values", 3))...)
		Expect(r.code).To(Equal(2))
		Expect(r.err).To(ContainSubstring("no major version 3"))
		Expect(r.err).To(ContainSubstring("it has 1, 2"))
		Expect(p.dump(ctx)).To(Equal(before))
		r = p.purge(ctx, values)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(values)), "the other major version must stay as it is")
	})

	DescribeTable("check 04: a name that is none is refused before any connection", func(ctx SpecContext, realmName, iface, major string) {
		// Nothing listens there: a connection would be another error.
		r := holdfast(ctx, "recovery", "purge-interface", "--hosts", "127.0.0.1:1", "--realm", realmName, "--interface", iface, "--major", major)
		Expect(r.code).To(Equal(2), r.err)
		Expect(r.err).NotTo(ContainSubstring("connect"))
	},
		Entry("a statement for a realm", `x"; DROP KEYSPACE y--`, "com.example.Values", "1"),
		Entry("a statement for an interface", "test", `x"; DROP KEYSPACE y--`, "1"),
		Entry("a quote", "test", "com.example.Values'", "1"),
		Entry("a newline at the end of the realm", "test\n", "com.example.Values", "1"),
		Entry("a newline at the end of the interface", "test", "com.example.Values\n", "1"),
		Entry("a letter that looks like another", "test", "com.exаmple.Values", "1"),
		Entry("129 characters", "test", longName(129), "1"),
		Entry("a negative major", "test", "com.example.Values", "-1"),
		Entry("a major that is no number", "test", "com.example.Values", "01x"),
		Entry("a major of 2^31", "test", "com.example.Values", "2147483648"),
		Entry("no major", "test", "com.example.Values", ""),
	)
})

func longName(n int) string {
	name := make([]byte, n)
	for i := range name {
		name[i] = 'a'
	}
	return string(name)
}
