// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/webhook/usage"
)

var _ = Describe("A reference created just before the delete", Ordered, func() {
	const large = 10_000
	var small, big kinds

	BeforeAll(func(ctx SpecContext) {
		small, big = newKinds(), newKinds()
		for _, k := range []kinds{small, big} {
			k.define(ctx, "subscriptions")
			k.define(ctx, "invoices")
		}
		small.fill(ctx, 20)
		started := time.Now()
		big.fill(ctx, large)
		AddReportEntry("objects", fmt.Sprintf("%d created in %s", large, time.Since(started)))
	})

	hold := map[string]func(*harness.Proxy){
		"stalled":      (*harness.Proxy).Freeze,
		"dropped":      (*harness.Proxy).Drop,
		"delayed 10 s": func(p *harness.Proxy) { p.Delay(10 * time.Second) },
		"as it should": func(*harness.Proxy) {},
	}
	DescribeTable("is seen, with the index's own connection", func(ctx SpecContext, how string, isBig bool) {
		k := small
		if isBig {
			k = big
		}
		p, config := proxy(ctx)
		index := k.start(ctx, config, cluster.Config)
		small.create(ctx, "invoices", fmt.Sprint("other-", namesake), "other") // another kind is the last that changed
		plan := k.plan("p-" + fmt.Sprint(namesake))
		namesake++
		expectUsers(ctx, index, plan, 0)

		hold[how](p)
		late := "late-" + plan.Name
		k.create(ctx, "subscriptions", late, plan.Name)
		expectUsers(ctx, index, plan, 1)
		k.remove(ctx, "subscriptions", late)
		// The index alone may refuse for a while, but not for ever.
		p.Thaw()
		Eventually(func(g Gomega) {
			use, err := index.Of(ctx, plan, 3)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(use.Total).To(BeZero())
		}).Should(Succeed())
	},
		Entry("stalled, few objects", "stalled", false),
		Entry("dropped, few objects", "dropped", false),
		Entry("delayed, few objects", "delayed 10 s", false),
		Entry("fine, many objects", "as it should", true),
		Entry("stalled, many objects", "stalled", true),
		Entry("dropped, many objects", "dropped", true),
		Entry("delayed, many objects", "delayed 10 s", true),
	)

	DescribeTable("is seen or the answer is undecided, when all connections hang", func(ctx SpecContext, isBig bool) {
		k := small
		if isBig {
			k = big
		}
		p, config := proxy(ctx)
		index := k.start(ctx, config, config)
		plan := k.plan("q-" + fmt.Sprint(namesake))
		namesake++
		expectUsers(ctx, index, plan, 0)

		p.Freeze()
		k.create(ctx, "subscriptions", "late-"+plan.Name, plan.Name)
		_, err := ask(ctx, index, plan)
		Expect(err).To(HaveOccurred())
		p.Thaw()
		Eventually(func(g Gomega) {
			use, err := index.Of(ctx, plan, 3)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(use.Total).To(Equal(1))
		}).Should(Succeed())
	},
		Entry("few objects", false),
		Entry("many objects", true),
	)

	DescribeTable("is seen when only the connections of before hang", func(ctx SpecContext, isBig bool) {
		k := small
		if isBig {
			k = big
		}
		p, config := proxy(ctx)
		index := k.start(ctx, config, config)
		plan := k.plan("r-" + fmt.Sprint(namesake))
		namesake++
		expectUsers(ctx, index, plan, 0)
		p.FreezeExisting()
		k.create(ctx, "subscriptions", "late-"+plan.Name, plan.Name)
		expectUsers(ctx, index, plan, 1)
	},
		Entry("few objects", false),
		Entry("many objects", true),
	)

	// How long it takes is in the report, and measured by the benchmark; here it
	// must end within the time of a decision, or there would be an error.
	It("is looked for in time, for one and for many at once", func(ctx SpecContext) {
		index := big.start(ctx, cluster.Config, cluster.Config)
		// "Now" is then above the last change of the subscriptions, so that it
		// takes a bookmark to get there.
		small.create(ctx, "invoices", "one", "other")
		one := measure(ctx, index, big, 1)
		small.create(ctx, "invoices", "two", "other")
		many := measure(ctx, index, big, 32)
		Expect(proofs("barrier")).To(BeNumerically(">", 0))
		AddReportEntry("proof", fmt.Sprintf("%d objects: one %s, the slowest of 32 %s", large, one, many))
	})

	It("is seen after the API server has forgotten the changes", func(ctx SpecContext) {
		p, config := proxy(ctx)
		index := big.start(ctx, config, cluster.Config)
		plan := big.plan("gone")
		expectUsers(ctx, index, plan, 0)
		p.Freeze()
		// A started API server remembers no changes of before.
		big.create(ctx, "subscriptions", "late-gone", plan.Name)
		Expect(cluster.KillAPIServer()).To(Succeed())
		Expect(cluster.StartAPIServer()).To(Succeed())
		Eventually(func() error { return big.tryCreate(ctx, "subscriptions", "late-gone-2", "other") }).Should(Succeed())
		use, err := ask(ctx, index, plan)
		Expect(err != nil || use.Total == 1).To(BeTrue(), "%+v", use)
		p.Thaw()
		Eventually(func(g Gomega) {
			use, err := index.Of(ctx, plan, 3)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(use.Total).To(Equal(1))
		}).Should(Succeed())
	})
})

// measure is the slowest of n proofs at once that nobody uses a plan.
func measure(ctx context.Context, index *usage.Index, k kinds, n int) time.Duration {
	GinkgoHelper()
	times := make([]time.Duration, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			defer GinkgoRecover()
			started := time.Now()
			use, err := index.Of(ctx, k.plan(fmt.Sprintf("free-%d", i)), 3)
			times[i] = time.Since(started)
			Expect(err).NotTo(HaveOccurred())
			Expect(use.Total).To(BeZero())
		})
	}
	all.Wait()
	slowest := times[0]
	for _, t := range times {
		slowest = max(slowest, t)
	}
	return slowest
}
