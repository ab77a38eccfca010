// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

func shapeOf(name string) standin.Shape {
	for _, s := range standin.Shapes() {
		if s.Name == name {
			return s
		}
	}
	panic("no such shape: " + name)
}

// expectRecorded waits until everything was saved while Holdfast watched.
func expectRecorded(ctx context.Context, p *place) {
	GinkgoHelper()
	for name := range p.before {
		for _, resource := range []string{"astartedefaultingresses.ingress.astarte-platform.org", "flows." + p.Shape.FlowGroup} {
			Eventually(func() string {
				return stage.Admin.Holdfast(ctx, "recovery", "list", resource, "-n", house, "-o", "name").Stdout
			}).Should(ContainSubstring("/" + name + "-"))
		}
	}
}

// rescue runs the command, and brings the operator back when it is told to.
func (p *place) rescue(ctx context.Context, args ...string) harness.Result {
	GinkgoHelper()
	ended := make(chan harness.Result, 1)
	user := stage.Admin
	user.Timeout = 150 * time.Second // it says what it waits for
	go func() {
		defer GinkgoRecover()
		ended <- user.Holdfast(ctx, append([]string{"recovery", "undo", astartes, "-n", house, "--yes"}, args...)...)
	}()
	var result harness.Result
	over := false
	Eventually(func() bool {
		select {
		case result = <-ended:
			over = true
		default:
		}
		return over || stage.Admin.Kubectl(ctx, "get", "crd", astartes, "--ignore-not-found").Stdout == ""
	}, "120s").Should(BeTrue())
	if over {
		return result
	}
	p.install(ctx)
	Eventually(ended, "200s").Should(Receive(&result))
	return result
}

var _ = Describe("An Astarte whose operator was uninstalled behind Holdfast's back", func() {
	DescribeTable("comes back with everything that belongs to it", func(ctx SpecContext, shape, helm string, guarded bool) {
		guard(ctx)
		p := settle(ctx, shapeOf(shape), helm, "one")
		expectRecorded(ctx, p)
		bypass(ctx)
		p.uninstall(ctx)
		if guarded {
			Expect(holdfast.Start(ctx)).To(Succeed())
		}

		By("its plan, which changes nothing")
		plan := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, "one", "-n", house)
		Expect(plan.Code).To(Equal(4), plan.Output)
		Expect(plan.Stdout).To(And(ContainSubstring("Plan: rescue 1 object"), ContainSubstring("delete it once more with the policy Orphan"), ContainSubstring("helm upgrade --install "+standin.Release)))
		Expect(plan.Stderr).To(ContainSubstring("read the plan above, then add --yes"))

		By("the rescue")
		r := p.rescue(ctx, "one")
		expectDone(r)
		Expect(r.Stdout).To(ContainSubstring(astartes + " " + house + "/one: brought back from "))
		p.expectBack(ctx)

		By("the command once more")
		again := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, "one", "-n", house, "--yes")
		expectDone(again)
		Expect(again.Stdout).To(ContainSubstring("skipped: it is not Terminating"))
	},
		Entry("1.0.4, Helm 3, Holdfast gone", "v1.0.4", "helm3", false),
		Entry("23.5, Helm 4, Holdfast enforcing", "v23.5.2", "helm4", true),
	)
})
