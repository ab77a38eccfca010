// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("plan and confirmation", func() {
	values := datastream("com.example.Values", 1)

	It("check 05: a dry-run sends SELECTs alone", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		s.Forget()
		for _, flags := range [][]string{{"--dry-run"}, {"--print-cql"}, {"--print-job", "2"}} {
			r := holdfast(ctx, p.purgeArgs(values, flags...)...)
			Expect(r.code).To(Equal(0), r.err)
		}
		Expect(s.AllRequests()).NotTo(BeEmpty())
		for _, r := range s.AllRequests() {
			Expect(strings.TrimSpace(r.Text)).To(HavePrefix("SELECT"))
		}
		Expect(p.journals(values)).To(BeEmpty())
	})

	It("check 06: without the right confirmation nothing is written", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_3)
		p.load(ctx, values, 3)
		before := p.dump(ctx)
		r := holdfast(ctx, p.purgeArgs(values, "--writers-stopped", "--yes")...)
		Expect(r.code).To(Equal(4))
		Expect(r.err).To(ContainSubstring("add --confirm"))
		Expect(p.dump(ctx)).To(Equal(before))
		stale := p.plan(ctx, values).Digest
		// A trigger makes it another plan.
		Expect(p.AddTrigger(ctx, realm.Trigger{Name: "t", Object: values.ID(), ObjectType: 2, Interface: values.Name, Major: 1})).To(Succeed())
		before = p.dump(ctx)
		r = holdfast(ctx, p.purgeArgs(values, "--writers-stopped", "--allow-triggers", "--confirm", stale)...)
		Expect(r.code).To(Equal(4))
		Expect(r.err).To(ContainSubstring("the confirmed digest is of another plan"))
		Expect(p.dump(ctx)).To(Equal(before))
		Expect(p.journals(values)).To(BeEmpty())
	})

	It("check 15: devices that declare it must be accepted, also those that kv_store does not list", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		draft := datastream("com.example.Draft", 0)
		p.load(ctx, draft, 2)
		declaring := realm.Device{ID: realm.DeviceID(7), Introspection: map[string]int{draft.Name: 0}, Connected: true}
		Expect(p.AddDevice(ctx, declaring)).To(Succeed())
		Expect(p.AddDevice(ctx, realm.Device{ID: realm.DeviceID(8), Introspection: map[string]int{draft.Name: 1}})).To(Succeed())
		before := p.dump(ctx)
		r := p.purge(ctx, draft)
		Expect(r.code).To(Equal(4))
		Expect(r.err).To(And(ContainSubstring("1 device declares it"), ContainSubstring("--allow-declared")))
		Expect(p.dump(ctx)).To(Equal(before))
		r = p.purge(ctx, draft, "--allow-declared")
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring(realm.DeviceText(declaring.ID)))
		Expect(r.out).To(ContainSubstring("1 device still declares the interface"))
		Expect(p.dump(ctx)).To(Equal(before.Without(draft)))
	})

	DescribeTable("check 16: triggers on it must be accepted, and are named", func(ctx SpecContext, trigger realm.Trigger) {
		p := newPlace(ctx, realm.V1_2)
		p.load(ctx, values, 2)
		neighbour := trigger
		neighbour.Name, neighbour.Interface, neighbour.Object = "neighbour", "com.example.Valuesx", realm.DeviceID(3)
		Expect(p.AddTrigger(ctx, neighbour)).To(Succeed())
		Expect(p.plan(ctx, values).Dangers).To(BeEmpty(), "a trigger on another interface is no danger")
		trigger.Name = "my trigger"
		Expect(p.AddTrigger(ctx, trigger)).To(Succeed())
		before := p.dump(ctx)
		r := p.purge(ctx, values)
		Expect(r.code).To(Equal(4))
		Expect(r.err).To(And(ContainSubstring(`"my trigger"`), Not(ContainSubstring(`"neighbour"`)), ContainSubstring("--allow-triggers")))
		Expect(p.dump(ctx)).To(Equal(before))
		r = p.purge(ctx, values, "--allow-triggers")
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(values)), "triggers are the user's to delete")
	},
		Entry("on the interface", realm.Trigger{Object: datastream("com.example.Values", 1).ID(), ObjectType: 2, Interface: "com.example.Values", Major: 1}),
		Entry("on the interface of a group", realm.Trigger{Object: realm.DeviceID(1), ObjectType: 6, Interface: "com.example.Values", Major: 1}),
		Entry("on the interface of a device", realm.Trigger{Object: realm.DeviceID(2), ObjectType: 7, Interface: "com.example.Values", Major: 1}),
		Entry("on a device's use of it", realm.Trigger{Object: realm.DeviceID(2), ObjectType: 4, Interface: "com.example.Values", Major: 1, OnDevice: true}),
	)

	It("check 17: the plan counts connected devices", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 2)
		for n := range 5 {
			Expect(p.AddDevice(ctx, realm.Device{ID: realm.DeviceID(n), Connected: n < 3, Introspection: map[string]int{values.Name: n % 2}})).To(Succeed())
		}
		made := p.plan(ctx, values)
		Expect(made.Devices.Total).To(Equal(5))
		Expect(made.Devices.Connected).To(Equal(3))
		Expect(made.Devices.Declaring).To(Equal(2))
		Expect(made.Devices.DeclaringConnected).To(Equal(1))
	})

	It("shows a plan whose statements are the ones that are sent", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		printed := holdfast(ctx, p.purgeArgs(values, "--print-cql")...)
		Expect(printed.code).To(Equal(0), printed.err)
		s.Forget()
		done := p.purge(ctx, values)
		Expect(done.code).To(Equal(0), done.err)
		for _, r := range s.Requests() {
			if strings.HasPrefix(r.Text, "DELETE") {
				shape, _, _ := strings.Cut(r.Text, " USING ")
				Expect(printed.out).To(ContainSubstring(shape))
			}
		}
	})
})
