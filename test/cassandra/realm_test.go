// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"strings"
	"time"

	"github.com/gocql/gocql"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("a realm", Ordered, func() {
	var session *gocql.Session
	BeforeAll(func(ctx SpecContext) {
		cluster, err := Start(ctx, Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(cluster.Close)
		session, err = cluster.Session()
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(time.Minute))

	all := []realm.Mapping{}
	for t := realm.Double; t <= realm.DateTimeArray; t++ {
		all = append(all, realm.Mapping{Endpoint: "/%{sensor_id}/v" + strings.Repeat("x", int(t)), Type: t})
	}
	for _, version := range realm.Versions() {
		It("of Astarte "+string(version)+" takes every kind of interface", func(ctx SpecContext) {
			name := "r" + strings.ReplaceAll(string(version), ".", "")
			r, err := realm.Create(ctx, session, version, realm.NamesOf(version, name, "inst"))
			Expect(err).NotTo(HaveOccurred())
			interfaces := []realm.Interface{
				{Name: "com.test.Properties", Major: 1, Kind: realm.Properties, Mappings: all},
				{Name: "com.test.Stream", Kind: realm.Datastream, Mappings: all},
				{Name: "org.astarte-platform.genericsensors.AvailableSensors", Kind: realm.Object, ExplicitTimestamp: true, Mappings: all},
			}
			devices := []gocql.UUID{realm.DeviceID(1), realm.DeviceID(2)}
			for _, d := range devices {
				Expect(r.AddDevice(ctx, realm.Device{
					ID: d, Introspection: map[string]int{"com.test.Stream": 0}, Old: map[string]int{"com.test.Old": 1}, Groups: []string{"g"},
				})).To(Succeed())
			}
			for _, i := range interfaces {
				Expect(r.Install(ctx, i)).To(Succeed())
				Expect(r.Load(ctx, realm.Load{Interface: i, Devices: devices, Paths: 2, Rows: 3})).To(HaveField("Rows", BeNumerically(">", 0)))
				Expect(r.Declare(ctx, i, devices[0])).To(Succeed())
				Expect(r.AddTrigger(ctx, realm.Trigger{Name: i.Name, Object: i.ID(), ObjectType: 2, Interface: i.Name, Major: i.Major})).To(Succeed())
			}
			dump, err := r.Dump(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(dump["individual_datastreams"]).To(HaveLen(2 * 14 * 2 * 3))
			Expect(dump["individual_properties"]).To(HaveLen(2*14*2 + 2*14*2 + 2*2))
			Expect(dump["ahwegzq_form_genericsensors_availablesensors_v0"]).To(HaveLen(2 * 2 * 3))
			Expect(dump["devices"]).To(HaveLen(2))
			Expect(dump.Count(interfaces[0])).To(Equal(1 + 14 + 2*14*2))
			Expect(dump.Count(interfaces[1])).To(Equal(1 + 14 + 2*14*2*3 + 2*14*2 + 2))
			Expect(dump.Count(interfaces[2])).To(Equal(1 + 14 + 2*2*3 + 2*2 + 1 + 2))
			again, err := r.Dump(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(again).To(Equal(dump))
			Expect(r.Drop(ctx)).To(Succeed())
		}, NodeTimeout(time.Minute))
	}
})
