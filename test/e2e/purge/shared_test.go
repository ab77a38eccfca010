// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/json"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("interfaces in shared tables", func() {
	It("check 08: of an individual datastream nothing is left, and nothing else is gone", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		target, neighbour := datastream("com.example.Values", 1), datastream("com.example.Values2", 1)
		p.load(ctx, target, 20)
		p.load(ctx, neighbour, 20)
		p.load(ctx, settings(1), 20)
		before := p.dump(ctx)
		Expect(before.Count(target)).To(BeNumerically(">", 100))
		r := p.purge(ctx, target)
		Expect(r.code).To(Equal(0), r.err)
		after := p.dump(ctx)
		Expect(after.Count(target)).To(BeZero())
		Expect(after).To(Equal(before.Without(target)))
		Expect(r.out).To(ContainSubstring("Deleted: 80 partitions of datastreams and 20 of properties and paths"))
	})

	It("check 09: of properties nothing is left; DISTINCT names exactly their partition key", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_1)
		target := settings(1)
		p.load(ctx, target, 20)
		p.load(ctx, datastream("com.example.Values", 1), 20)
		p.load(ctx, settings(2), 20)
		before := p.dump(ctx)
		r := p.purge(ctx, target)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(target)))

		faked, s := fake(ctx, fakecql.Options{})
		faked.load(ctx, target, 3)
		s.Forget()
		Expect(faked.purge(ctx, target).code).To(Equal(0))
		scans := 0
		for _, r := range s.Requests() {
			if fakecql.Containing("SELECT DISTINCT")(r) {
				Expect(r.Text).To(HavePrefix(`SELECT DISTINCT "device_id", "interface_id" FROM "test"."individual_properties" WHERE token(`))
				scans++
			}
		}
		Expect(scans).To(BeNumerically(">", 0))
	})

	It("check 13: a realm without individual_datastreams is no crash", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		target := settings(1)
		p.load(ctx, target, 3)
		Expect(p.dump(ctx)).NotTo(HaveKey("individual_datastreams"))
		r := p.purge(ctx, target)
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("no table individual_datastreams"))
		Expect(p.dump(ctx).Count(target)).To(BeZero())
		Expect(holdfast(ctx, p.args("interfaces")...).code).To(Equal(0))
		Expect(holdfast(ctx, p.args("find-orphans")...).code).To(Equal(0))
	})

	It("check 14: of a draft both groups of kv_store go, and no others", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		target := datastream("com.example.Draft", 0)
		for _, i := range []realm.Interface{target, datastream("com.example.Draft", 1), datastream("com.example.Draft1", 0)} {
			p.load(ctx, i, 4)
		}
		for n := range 4 {
			for _, name := range []string{target.Name, "com.example.Draft1", target.Name + "-v0"} {
				Expect(p.Declare(ctx, realm.Interface{Name: name}, realm.DeviceID(n))).To(Succeed())
			}
		}
		// A neighbour whose group begins like the target's.
		Expect(p.Exec(ctx, `INSERT INTO `+p.Keyspace+`.kv_store ("group", key, value) VALUES ('devices-by-interface-com.example.Draft-v01', 'x', 0x01)`)).To(Succeed())
		before := p.dump(ctx)
		r := p.purge(ctx, target)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(target)))
	})

	DescribeTable("every kind of interface, in the schema of every version", func(ctx SpecContext, v realm.Version) {
		p := newPlace(ctx, v)
		all := []realm.Interface{
			datastream("com.example.Values", 0), settings(3), object("com.example.Position", 1),
			object("com.example.very.long.interface.name.for.ObjectTable", 12),
		}
		for _, i := range all {
			p.load(ctx, i, 4)
		}
		for _, i := range all {
			before := p.dump(ctx)
			r := p.purge(ctx, i)
			Expect(r.code).To(Equal(0), r.err)
			Expect(p.dump(ctx)).To(Equal(before.Without(i)), i.Name)
		}
	},
		Entry("1.0", realm.V1_0), Entry("1.1", realm.V1_1), Entry("1.2", realm.V1_2), Entry("1.3", realm.V1_3), Entry("master", realm.Master),
	)

	It("lists what a realm has", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_3)
		p.load(ctx, datastream("com.example.Values", 1), 3)
		p.load(ctx, object("com.example.Position", 2), 3)
		Expect(p.AddDevice(ctx, realm.Device{ID: realm.DeviceID(0), Introspection: map[string]int{"com.example.Values": 1}, Connected: true})).To(Succeed())
		before := p.dump(ctx)
		r := holdfast(ctx, p.args("interfaces", "-o", "json")...)
		Expect(r.code).To(Equal(0), r.err)
		var all []struct {
			Name, Type, Table                  string
			Major                              int
			Values                             struct{ Count int64 }
			DevicesDeclaring, DevicesConnected int
		}
		Expect(json.Unmarshal([]byte(r.out), &all)).To(Succeed())
		Expect(all).To(HaveLen(2))
		Expect(all[0].Name).To(Equal("com.example.Position"))
		Expect(all[0].Table).To(Equal("com_example_position_v2"))
		Expect(all[0].Values.Count).To(BeNumerically("==", 6))
		Expect(all[1].Type).To(Equal("individual datastream"))
		Expect(all[1].Values.Count).To(BeNumerically("==", 12))
		Expect(all[1].DevicesDeclaring).To(Equal(1))
		Expect(all[1].DevicesConnected).To(Equal(1))
		names := holdfast(ctx, p.args("interfaces", "-o", "name")...)
		Expect(names.out).To(Equal("com.example.Position/v2\ncom.example.Values/v1\n"))
		Expect(p.dump(ctx)).To(Equal(before))
	})

	It("says when a purge was done before, and leaves its report", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		target := datastream("com.example.Values", 1)
		p.load(ctx, target, 2)
		args := p.confirmed(ctx, target)
		Expect(holdfast(ctx, args...).code).To(Equal(0))
		again := holdfast(ctx, args...)
		Expect(again.code).To(Equal(0))
		Expect(again.err).To(ContainSubstring("was purged on"))
		data, err := os.ReadFile(filepath.Join(p.journals(target)[0], "report.json"))
		Expect(err).NotTo(HaveOccurred())
		var report struct {
			Complete bool
			Deleted  struct{ Datastreams, Properties int64 }
		}
		Expect(json.Unmarshal(data, &report)).To(Succeed())
		Expect(report.Complete).To(BeTrue())
		Expect(report.Deleted.Datastreams).To(BeNumerically("==", 8))
	})
})
