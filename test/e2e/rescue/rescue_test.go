// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
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
	for name := range p.keys {
		Eventually(func() string {
			return stage.Admin.Holdfast(ctx, "recovery", "list", "secrets", "-n", house, "-o", "name").Stdout
		}).Should(ContainSubstring("/" + name + "/"))
	}
}

// rescue runs the command. The operator comes back by its saved release, or, by
// byHand, as soon as the definition is gone.
func (p *place) rescue(ctx context.Context, byHand func(context.Context), args ...string) harness.Result {
	GinkgoHelper()
	user := stage.Admin
	user.Timeout = 150 * time.Second // it says what it waits for
	ended := make(chan harness.Result, 1)
	go func() {
		defer GinkgoRecover()
		ended <- user.Holdfast(ctx, append([]string{"recovery", "undo", astartes, "-n", house, "--yes"}, args...)...)
	}()
	var result harness.Result
	if byHand != nil {
		Eventually(func() bool {
			select {
			case result = <-ended:
				return true
			default:
			}
			return stage.Admin.Kubectl(ctx, "get", "crd", astartes, "--ignore-not-found", "-o", "name").Stdout == ""
		}, "120s").Should(BeTrue())
		Expect(result.Output).To(BeEmpty(), "it ended without the operator")
		second := stage.Admin.Holdfast(ctx, append([]string{"recovery", "undo", astartes, "-n", house, "--yes"}, args...)...)
		Expect(second.Code).To(Equal(1), second.Output)
		Expect(second.Stderr).To(MatchRegexp(`another run is at work on the rescue of %s: \S+ \(process \d+ on .*\), since 2`, astartes))
		byHand(ctx)
	}
	Eventually(ended, "200s").Should(Receive(&result))
	return result
}

// forgetRelease removes what was saved of the operator's release.
func forgetRelease(ctx context.Context) {
	GinkgoHelper()
	list := stage.Admin.Holdfast(ctx, "recovery", "list", "secrets", "-n", operators, "-o", "name")
	must.Succeed(list)
	for line := range strings.Lines(list.Stdout) {
		parts := strings.Split(strings.TrimSpace(line), "/")
		if strings.HasPrefix(parts[len(parts)-2], "sh.helm.release") {
			must.Succeed(stage.Admin.Kubectl(ctx, "delete", "secret", "holdfast-snapshot-"+parts[len(parts)-1], "-n", holdfast.Namespace))
		}
	}
}

var _ = Describe("An Astarte whose operator was uninstalled behind Holdfast's back", func() {
	DescribeTable("comes back with everything that belongs to it", func(ctx SpecContext, shape, helm string, guarded bool, names ...string) {
		guard(ctx)
		name := names[0] // the others come along
		p := settle(ctx, shapeOf(shape), helm, names...)
		expectRecorded(ctx, p)
		bypass(ctx)
		p.uninstall(ctx)
		operator := "bring back its operator: Helm release " + operators + "/" + standin.Release
		var byHand func(context.Context)
		if guarded {
			Expect(holdfast.Start(ctx)).To(Succeed())
		} else {
			forgetRelease(ctx)
			operator = "helm upgrade --install " + standin.Release
			byHand = p.install
		}

		By("its plan, which changes nothing")
		plan := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, name, "-n", house)
		Expect(plan.Code).To(Equal(4), plan.Output)
		Expect(plan.Stdout).To(And(ContainSubstring(fmt.Sprintf("Plan: rescue %d object", len(names))), ContainSubstring("delete it once more with the policy Orphan"), ContainSubstring(operator)))
		Expect(plan.Stderr).To(ContainSubstring("read the plan above, then add --yes"))

		By("the rescue")
		r := p.rescue(ctx, byHand, name)
		must.Succeed(r)
		for _, each := range names {
			Expect(r.Stdout).To(ContainSubstring(astartes + " " + house + "/" + each + ": brought back from "))
		}
		p.expectBack(ctx)

		By("the command once more")
		again := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, name, "-n", house, "--yes")
		must.Succeed(again)
		Expect(again.Stdout).To(ContainSubstring("skipped: it is not Terminating"))
	},
		Entry("1.0.4, Helm 3, Holdfast gone and the operator brought back by hand", "v1.0.4", "helm3", false, "one"),
		Entry("24.5, Helm 3, Holdfast enforcing, two of them", "v24.5.1", "helm3", true, "three", "four"),
		Entry("master, Helm 4, Holdfast enforcing", "v2alpha1", "helm4", true, "five"),
	)
})

var _ = Describe("An Astarte whose operator was installed again too early", func() {
	It("is said to be gone, with the way to what was saved", func(ctx SpecContext) {
		guard(ctx)
		p := settle(ctx, shapeOf("v2alpha1"), "helm3", "early")
		expectRecorded(ctx, p)
		bypass(ctx)
		p.uninstall(ctx)
		p.install(ctx)
		Eventually(func() string {
			return stage.Admin.Kubectl(ctx, "get", "crd", astartes, "--ignore-not-found", "-o", "name").Stdout
		}).Should(BeEmpty(), "its finalizer has run, so its definition goes")
		r := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, "early", "-n", house, "--yes")
		Expect(r.Code).To(Equal(2), r.Output)
		Expect(r.Stderr).To(ContainSubstring("it does not exist, and no rescue of it was interrupted: not even its definition does; 'holdfast recovery list --sets' shows what was saved of it"))
	})
})

var _ = Describe("The runbook of a rescue", func() {
	It("does what it says", func(ctx SpecContext) {
		guard(ctx)
		p := settle(ctx, shapeOf("v23.5.2"), "helm4", "astarte")
		expectRecorded(ctx, p)
		bypass(ctx)
		p.uninstall(ctx)
		Expect(holdfast.Start(ctx)).To(Succeed())
		lines, err := harness.Runbook(ctx, "rescue-astarte.md")
		Expect(err).NotTo(HaveOccurred())
		Expect(lines).To(HaveLen(5))
		for i, words := range lines {
			if words[2] == "undo" && words[len(words)-1] != "--dry-run" {
				words = append(words, "--yes") // nobody types here
			}
			r := stage.Admin.Run(ctx, words[0], words[1:]...)
			if words[2] == "scan" {
				Expect(strings.Contains(r.Stdout, "critical  "+astartes+" "+house+"/astarte\n    it is Terminating")).To(Equal(i == 0), r.Output)
				Expect(strings.Contains(r.Stdout, "critical  release "+operators+"/"+standin.Release)).To(Equal(i == 0), r.Output)
				continue
			}
			must.Succeed(r)
		}
		p.expectBack(ctx)
	})
})
