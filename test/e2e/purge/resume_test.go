// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/cassandra/fakecql"
	"github.com/holdfast-dev/holdfast/test/cassandra/realm"
)

var _ = Describe("resume", func() {
	values := datastream("com.example.Values", 1)

	It("check 20: an interface that was installed again stops it, and newer data survives even if forced past", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 6)
		args := p.confirmed(ctx, values)
		var cmd *exec.Cmd
		killAt(s, fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), 3, &cmd)
		cmd, out := p.start(ctx, args)
		Expect(cmd.Wait()).NotTo(Succeed(), out.String())

		p.load(ctx, values, 6)
		installed := p.dump(ctx)
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(And(ContainSubstring("was installed again since this purge began"), ContainSubstring("move the journal")))
		Expect(p.dump(ctx)).To(Equal(installed))

		// Forced past the check: without the row nobody can tell, and the deletes of
		// the sweep that was begun still bear its cut.
		cut := stampOf(p.records(values))
		Expect(p.Exec(ctx, "DELETE FROM test.interfaces WHERE name = ? AND major_version = ?", values.Name, values.Major)).To(Succeed())
		s.Forget()
		Expect(holdfast(ctx, args...).code).NotTo(Equal(1))
		first := ""
		for _, request := range s.Requests() {
			if v, ok := request.Bound("[timestamp]"); ok && first == "" {
				first = fmt.Sprint(bigint(v))
			}
		}
		Expect(first).To(Equal(cut))
	})

	It("check 20: the first sweep after a resume deletes nothing newer than the journaled cut", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		p.load(ctx, values, 6)
		args := p.confirmed(ctx, values)
		cmd, out := p.start(ctx, append(args, "--max-deletes-per-second", "3"))
		Eventually(func() string { return p.records(values) }).Should(ContainSubstring(`"cut"`))
		Expect(cmd.Process.Kill()).To(Succeed())
		Expect(cmd.Wait()).NotTo(Succeed(), out.String())
		p.load(ctx, values, 6)
		r := holdfast(ctx, args...)
		Expect(r.code).To(Equal(1), r.err)
		Expect(r.err).To(ContainSubstring("installed again"))
		d := p.dump(ctx)
		Expect(d["individual_datastreams"]).To(HaveLen(6 * 2 * 2 * 3))
		Expect(d["interfaces"]).To(HaveLen(1))
	})

	DescribeTable("check 21: whatever this machine's clock says, old data goes and later writes are not shadowed", func(ctx SpecContext, shift time.Duration) {
		// The servers' clock is the one that is shifted; this machine's differs from it by as much.
		p, s := fake(ctx, fakecql.Options{Clock: func() time.Time { return time.Now().Add(shift) }})
		p.load(ctx, values, 6)
		before := p.dump(ctx)
		s.Forget()
		r := p.purge(ctx, values)
		Expect(r.code).To(Equal(0), r.err)
		Expect(r.err).To(ContainSubstring("the clocks of this machine and of the database differ by"))
		Expect(p.dump(ctx)).To(Equal(before.Without(values)))
		for _, request := range s.AllRequests() {
			Expect(request.ClientTimestamp).To(BeNil(), request.Text)
		}
		p.load(ctx, values, 6)
		Expect(p.dump(ctx).Count(values)).To(Equal(before.Count(values)))
	},
		Entry("an hour fast", -time.Hour), Entry("an hour slow", time.Hour),
	)

	It("refuses the journal of another cluster", func(ctx SpecContext) {
		p, s := fake(ctx, fakecql.Options{})
		p.load(ctx, values, 3)
		args := p.confirmed(ctx, values)
		var cmd *exec.Cmd
		killAt(s, fakecql.Containing(`DELETE FROM "test"."individual_datastreams"`), 0, &cmd)
		cmd, out := p.start(ctx, args)
		Expect(cmd.Wait()).NotTo(Succeed(), out.String())
		other := placeOn(ctx, session, server.Hosts, realm.NamesOf(realm.V1_0, "test", ""), realm.V1_0)
		DeferCleanup(func(ctx SpecContext) { Expect(other.Drop(ctx)).To(Succeed()) })
		other.load(ctx, values, 3)
		before := other.dump(ctx)
		other.journal = p.journal
		r := holdfast(ctx, other.purgeArgs(values, "--dry-run")...)
		Expect(r.code).To(Equal(1))
		Expect(r.err).To(ContainSubstring("is of cluster"))
		Expect(other.dump(ctx)).To(Equal(before))
	})

	It("a purge of an interface that was installed again after a complete one is a new purge", func(ctx SpecContext) {
		p := newPlace(ctx, realm.V1_0)
		for range 2 {
			p.load(ctx, values, 3)
			r := p.purge(ctx, values)
			Expect(r.code).To(Equal(0), r.err)
			Expect(p.dump(ctx).Count(values)).To(BeZero())
		}
		Expect(p.journals(values)).To(HaveLen(2))
	})
})

// stampOf is the time of the first cut in a journal.
func stampOf(records string) string {
	return regexp.MustCompile(`"sweep":1,"timestamp":(\d+)`).FindStringSubmatch(records)[1]
}

func bigint(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) } //nolint:gosec // a bigint of the protocol
