// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

// one is the load of one device, written late.
func one(i realm.Interface, device int) realm.Load {
	return realm.Load{Interface: i, Devices: ids(device + 1)[device:], Rows: 2}
}

var _ = Describe("sweeps", func() {
	values := datastream("com.example.Values", 1)

	It("check 27: what is written during a sweep is found by the next one", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 5)
		args := p.confirmed(ctx, values)
		s.Inject(fakecql.Fault{Match: fakecql.Containing(`DELETE FROM "test"."individual_properties"`), Times: 1, Do: func(fakecql.Request) {
			defer GinkgoRecover()
			_, err := p.Load(ctx, one(values, 77))
			Expect(err).NotTo(HaveOccurred())
		}})
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx).Count(values)).To(BeZero())
		Expect(r.out).To(ContainSubstring("in 3 sweeps"))
	})

	It("check 27: a writer that never ends makes it stop after five sweeps, with advice", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 5)
		args := p.confirmed(ctx, values)
		writing, stop := context.WithCancel(ctx)
		var n atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for writing.Err() == nil {
				_, _ = p.Load(writing, one(values, int(n.Add(1))%50))
			}
		}()
		r := holdfast(ctx, args...)
		stop()
		<-done
		Expect(r.code).To(Equal(3), r.err)
		Expect(r.err).To(And(ContainSubstring("writers are still active"), ContainSubstring("each of 5 sweeps"), ContainSubstring("--writers-stopped")))
		r = holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx).Count(values)).To(BeZero())
	}, NodeTimeout(time.Minute))

	It("check 28: what is dated in the future is reported with its time", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 5)
		late := one(values, 60)
		late.Timestamp = time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro()
		late.WithoutPathRows = true
		_, err := p.Load(ctx, late)
		Expect(err).NotTo(HaveOccurred())
		args := p.confirmed(ctx, values)
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(3), r.err)
		Expect(r.err).To(ContainSubstring("verification found"))
		Expect(r.out).To(And(ContainSubstring("LEFT in individual_datastreams"), ContainSubstring("2099-01-02T03:04:05"), ContainSubstring("dated in the future")))
		Expect(r.out).To(ContainSubstring("NOT complete"))
		Expect(p.dump(ctx)["interfaces"]).To(BeEmpty())
	})

	It("check 29: a leftover that verification finds is an error and a list", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 5)
		args := p.confirmed(ctx, values)
		s.Inject(fakecql.Fault{Match: both(fakecql.Containing("PER PARTITION LIMIT 1"), atAll), Times: 1, Do: func(fakecql.Request) {
			defer GinkgoRecover()
			_, err := p.Load(ctx, one(values, 77))
			Expect(err).NotTo(HaveOccurred())
		}})
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(3), r.err)
		Expect(r.err).To(And(ContainSubstring("verification found"), ContainSubstring("run the same command again")))
		Expect(r.out).To(And(ContainSubstring("LEFT in individual_"), ContainSubstring(realm.DeviceText(realm.DeviceID(77)))))
		r = holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx).Count(values)).To(BeZero())
	})

	It("check 31: a right that is missing is said with the server's words, and can be granted", func(ctx SpecContext) {
		c, err := cassandra.Start(ctx, cassandra.Options{Authentication: true, Guardrails: map[string]any{"user_timestamps_enabled": false}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(c.Close()).To(Succeed()) })
		connected, err := c.Session()
		Expect(err).NotTo(HaveOccurred())
		p := placeOn(ctx, &realm.Realm{Session: connected}, c.Hosts, realm.NamesOf(realm.V1_0, "secured", ""), realm.V1_0)
		position := object("com.example.Position", 1)
		p.load(ctx, position, 3)
		for _, statement := range []string{
			"CREATE ROLE app WITH PASSWORD = 'secret' AND LOGIN = true", "GRANT SELECT ON KEYSPACE secured TO app", "GRANT SELECT ON KEYSPACE astarte TO app",
		} {
			Expect(p.Exec(ctx, statement)).To(Succeed())
		}
		r := holdfast(ctx, p.purgeArgs(position, "--dry-run")...)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(And(ContainSubstring("authentication required"), ContainSubstring("give --username")))
		GinkgoT().Setenv("HOLDFAST_CQL_PASSWORD", "wrong")
		p.extra = []string{"--username", "app"}
		r = holdfast(ctx, p.purgeArgs(position, "--dry-run")...)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(And(ContainSubstring("Provided username app and/or password are incorrect"), ContainSubstring("check --username and --password-file")))
		GinkgoT().Setenv("HOLDFAST_CQL_PASSWORD", "secret")

		args := p.confirmed(ctx, position)
		r = holdfast(ctx, args...)
		Expect(r.code).To(Equal(3))
		Expect(r.err).To(And(ContainSubstring("User app has no MODIFY permission on"), ContainSubstring("grant the right")))
		Expect(p.Exec(ctx, "GRANT MODIFY ON KEYSPACE secured TO app")).To(Succeed())
		// USING TIMESTAMP is forbidden here: from here on timestamps go in the frame.
		Eventually(func() string { r = holdfast(ctx, args...); return r.err }).WithPolling(time.Second).Should(ContainSubstring("User app has no DROP permission on <table secured.com_example_position_v1>"))
		Expect(r.code).To(Equal(3))
		Expect(p.Exec(ctx, "GRANT DROP ON KEYSPACE secured TO app")).To(Succeed())
		Eventually(func() int { r = holdfast(ctx, args...); return r.code }).WithPolling(time.Second).Should(Equal(0), r.err)
		Expect(p.dump(ctx).Count(position)).To(BeZero())
	}, NodeTimeout(2*time.Minute))
})
