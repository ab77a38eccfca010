// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra"
	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("faults", func() {
	values := datastream("com.example.Values", 1)
	unavailable := &fakecql.Error{Code: fakecql.CodeUnavailable, Message: "Cannot achieve consistency level ALL"}

	It("check 22: with replicas down it stops before the first write", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		args := p.confirmed(ctx, values)
		s.Inject(fakecql.Fault{Match: atAll, Error: unavailable})
		s.Forget()
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(And(ContainSubstring("Cannot achieve consistency level ALL"), ContainSubstring("some nodes that hold the data are down")))
		for _, request := range s.Requests() {
			Expect(request.Text).NotTo(HavePrefix("DELETE"))
		}
		Expect(p.records(values)).NotTo(ContainSubstring(`"detach"`))
	})

	It("check 22: replicas that go down in a sweep make it pause and go on", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 10)
		before := p.dump(ctx)
		args := p.confirmed(ctx, values)
		scans := s.Inject(fakecql.Fault{Match: fakecql.Containing("SELECT DISTINCT"), Skip: 5, Times: 4, Error: unavailable})
		deletes := s.Inject(fakecql.Fault{Match: fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), Skip: 3, Times: 3, Error: unavailable})
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(scans.Count()).To(Equal(4))
		Expect(deletes.Count()).To(Equal(3))
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
	})

	It("check 22: a DROP is never sent with a node down, and no flag helps", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{Nodes: 2})
		position := object("com.example.Position", 1)
		p.load(ctx, position, 3)
		p.load(ctx, values, 3)
		args := p.confirmed(ctx, position)
		second := fakecql.Fault{Match: func(r fakecql.Request) bool { return r.Node == 1 && strings.Contains(r.Text, "now()") }, Drop: true}
		isDrop := fakecql.Containing("DROP TABLE")

		down := s.Inject(second)
		made := p.plan(ctx, position)
		Expect(fmt.Sprint(made.Dangers)).To(And(ContainSubstring("drop-with-node-down"), ContainSubstring("nodes-down"), ContainSubstring("127.0.0.2")))
		r := holdfast(ctx, p.purgeArgs(position, "--writers-stopped", "--confirm", made.Digest, "--allow-nodes-down")...)
		Expect(r.code).To(Equal(1), r.err)
		Expect(r.err).To(And(ContainSubstring("127.0.0.2"), ContainSubstring("nothing overrides this")))
		r = p.purge(ctx, values)
		Expect(r.code).To(Equal(4), r.err)
		Expect(r.err).To(ContainSubstring("--allow-nodes-down"))
		r = p.purge(ctx, values, "--allow-nodes-down")
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("verifying at QUORUM"))
		down.Remove()

		// It goes down while the data is swept.
		s.Inject(fakecql.Fault{Match: fakecql.Containing(`DELETE FROM "test"."individual_properties"`), Times: 1, Do: func(fakecql.Request) { down = s.Inject(second) }})
		r = holdfast(ctx, args...)
		Expect(r.code).To(Equal(3), r.err)
		Expect(r.err).To(And(ContainSubstring("a DROP needs all nodes"), ContainSubstring("nothing overrides this")))
		for _, request := range s.Requests() {
			Expect(isDrop(request)).To(BeFalse())
		}
		down.Remove()
		Eventually(func() int { return holdfast(ctx, args...).code }).WithTimeout(time.Minute).WithPolling(time.Second).Should(Equal(0))
		d := p.dump(ctx)
		Expect(d.Count(position) + d.Count(values)).To(BeZero())
	}, NodeTimeout(3*time.Minute))

	It("check 22: with one of two replicas stopped nothing is changed, and the server's words are told", func(ctx SpecContext) {
		c, err := cassandra.Start(ctx, cassandra.Options{Nodes: 2})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(c.Close()).To(Succeed()) })
		connected, err := c.Session()
		Expect(err).NotTo(HaveOccurred())
		names := realm.NamesOf(realm.V1_3, "two", "")
		names.Replication = 2
		p := placeOn(ctx, &realm.Realm{Session: connected}, c.Hosts, names, realm.V1_3)
		position := object("com.example.Position", 1)
		p.load(ctx, position, 3)
		before := p.dump(ctx)
		args := p.confirmed(ctx, position)
		Expect(c.Nodes[1].Stop(ctx)).To(Succeed())
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(1), r.err)
		Expect(r.err).To(And(ContainSubstring("Cannot achieve consistency level QUORUM"), ContainSubstring("bring them up")))
		Expect(c.Nodes[1].Start(ctx)).To(Succeed())
		Eventually(func() int { r = holdfast(ctx, args...); return r.code }).WithTimeout(3*time.Minute).WithPolling(time.Second).Should(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(position)))
	}, NodeTimeout(6*time.Minute))

	It("check 23: timeouts shrink pages and split ranges, and it ends complete", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 20)
		before := p.dump(ctx)
		args := p.confirmed(ctx, values)
		slow := s.Inject(fakecql.Fault{
			Match: func(r fakecql.Request) bool { return strings.Contains(r.Text, "SELECT DISTINCT") && r.PageSize > 100 },
			Error: &fakecql.Error{Code: fakecql.CodeReadTimeout, Message: "Operation timed out"}, Skip: 2, Times: 6,
		})
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(slow.Count()).To(Equal(6))
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
		pages := map[int]bool{}
		for _, request := range s.Requests() {
			if strings.Contains(request.Text, "SELECT DISTINCT") {
				pages[request.PageSize] = true
			}
		}
		Expect(len(pages)).To(BeNumerically(">", 1), "the page size never changed")
	})

	It("check 23: a partition full of tombstones is deleted by the key that its path row gives", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 8)
		for n := range 8 {
			Expect(p.AddDevice(ctx, realm.Device{ID: realm.DeviceID(n), Introspection: map[string]int{values.Name: 2}, Old: map[string]int{values.Name: 1}})).To(Succeed())
		}
		before := p.dump(ctx)
		args := p.confirmed(ctx, values)
		// Until it is deleted, no scan of the values gets over the partition.
		var deleted atomic.Bool
		s.Inject(fakecql.Fault{Match: fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), Times: 1, Do: func(fakecql.Request) { deleted.Store(true) }})
		s.Inject(fakecql.Fault{
			Match: func(r fakecql.Request) bool {
				return strings.Contains(r.Text, `SELECT DISTINCT "device_id", "interface_id", "endpoint_id"`) && !deleted.Load()
			},
			Error: &fakecql.Error{Code: fakecql.CodeReadFailure, Message: "Operation failed - received 0 responses and 1 failures: READ_TOO_MANY_TOMBSTONES from /127.0.0.1:7000"},
		})
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
	}, NodeTimeout(2*time.Minute))

	It("check 23: what cannot be read is said, and the rest is purged", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 8)
		args := p.confirmed(ctx, values)
		bad := s.Inject(fakecql.Fault{
			Match: func(r fakecql.Request) bool {
				return strings.Contains(r.Text, `SELECT DISTINCT "device_id", "interface_id", "endpoint_id"`) && holds(r, 4242424242)
			},
			Error: &fakecql.Error{Code: fakecql.CodeReadFailure, Message: "Operation failed: READ_TOO_MANY_TOMBSTONES from /127.0.0.1:7000"},
		})
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(3))
		Expect(r.err).To(And(ContainSubstring("1 ranges of tokens could not be swept"), ContainSubstring("run the same command again")))
		Expect(p.records(values)).To(ContainSubstring(`"failed"`))
		bad.Remove()
		r = holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(p.dump(ctx).Count(values)).To(BeZero())
	}, NodeTimeout(2*time.Minute))

	DescribeTable("check 26: whatever the pages are like, no partition is missed", func(ctx SpecContext, o fakecql.Options, f fakecql.Fault) {
		p, s := fake(ctx, o)
		p.load(ctx, values, 40)
		p.load(ctx, datastream("com.example.Values", 2), 40)
		before := p.dump(ctx)
		args := p.confirmed(ctx, values)
		f.Match = fakecql.Containing("SELECT ")
		f.Match = both(f.Match, func(r fakecql.Request) bool { return !r.System() })
		s.Inject(f)
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.out).To(ContainSubstring("Deleted: 160 partitions of datastreams and 40 of properties and paths"))
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
	},
		Entry("empty pages", fakecql.Options{}, fakecql.Fault{EmptyPages: 2}),
		Entry("pages of one row", fakecql.Options{}, fakecql.Fault{MaxRows: 1}),
		Entry("ScyllaDB, which filters no scan", fakecql.Options{Scylla: true}, fakecql.Fault{}),
		Entry("ScyllaDB with short pages over tombstones", fakecql.Options{Scylla: true, TombstonePageLimit: 3}, fakecql.Fault{MaxRows: 2}),
	)

	It("check 33: as many requests are in flight as the servers may have", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		Expect(p.Install(ctx, values)).To(Succeed())
		_, err := p.Load(ctx, realm.Load{Interface: values, Devices: ids(400)})
		Expect(err).NotTo(HaveOccurred())
		args := p.confirmed(ctx, values)
		isDelete, isScan := fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), fakecql.Containing("SELECT DISTINCT")
		s.Inject(fakecql.Fault{Match: isDelete, Delay: 50 * time.Millisecond})
		s.Inject(fakecql.Fault{Match: isScan, Delay: 5 * time.Millisecond})
		s.Forget()
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(0), r.err)
		Expect(s.Peak(isDelete)).To(BeNumerically(">=", 100), "deletes in flight")
		Expect(s.Peak(isDelete)).To(BeNumerically("<=", 256))
		Expect(s.Peak(isScan)).To(And(BeNumerically(">=", 4), BeNumerically("<=", 16)), "scans in flight on one node")
	})
})

// holds says whether the range of a scan holds a token.
func holds(r fakecql.Request, token int64) bool {
	var ends []int64
	for n, column := range r.Columns {
		if strings.HasPrefix(column, "partition key token") || strings.Contains(column, "token") {
			ends = append(ends, bigint(r.Values[n]))
		}
	}
	return len(ends) == 2 && ends[0] < token && token <= ends[1]
}
