// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
	"github.com/holdfast-dev/holdfast/test/e2e/standin"
)

const astartes = "astartes.api.astarte-platform.org"

// install makes one version of the operator known and runs it for the spec.
// Afterwards nothing of it is left.
func install(ctx SpecContext, shape standin.Shape) *standin.Operator {
	GinkgoHelper()
	o := &standin.Operator{Shape: shape, Client: client, Kube: kube}
	names, err := o.InstallKinds(ctx, admin, operators)
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); o.Run(running) }()
	DeferCleanup(func(ctx SpecContext) {
		// All instances go before any definition: while some exist, their
		// operator's release is fenced.
		Eventually(func(g Gomega) {
			for _, name := range names {
				list := admin.Kubectl(ctx, "get", name, "-A", "-o", `jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}`)
				for line := range strings.Lines(list.Stdout) {
					namespace, object, _ := strings.Cut(strings.TrimSpace(line), " ")
					admin.Kubectl(ctx, "delete", name, object, "-n", namespace)
				}
			}
			for _, name := range names {
				r := admin.Kubectl(ctx, "delete", "crd", name, "--ignore-not-found")
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}
		}).Should(Succeed())
		stop()
		<-ended
		for _, kind := range []string{"secrets", "configmaps", "persistentvolumeclaims"} {
			must.Succeed(admin.Kubectl(ctx, "delete", kind, "--all", "-n", house, "--wait=false"))
			// No node ever uses a claim; nobody takes its finalizer away.
		}
		must.Succeed(admin.Kubectl(ctx, "delete", "secrets", "--all", "-n", operators))
	})
	return o
}

var _ = Describe("The set of an Astarte", func() {
	for _, shape := range standin.Shapes() {
		It("has exactly what belongs to it: operator "+shape.Name, func(ctx SpecContext) {
			o := install(ctx, shape)
			Expect(o.CreateAstarte(ctx, admin, house, "one")).To(Succeed())
			golden := filepath.Join("testdata", shape.Name+".golden")
			var id string
			if *update {
				Eventually(func(g Gomega) {
					set := latestSet(ctx, astartes, house, "one")
					g.Expect(set.Complete).To(BeTrue())
					g.Expect(set.Saved).To(BeNumerically(">", len(shape.Secrets)+len(shape.ConfigMaps)+len(shape.UserSecrets)+4))
					id = set.ID
				}).Should(Succeed())
				Expect(os.WriteFile(golden, []byte(strings.Join(membersOf(ctx, id), "\n")+"\n"), 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			Expect(err).NotTo(HaveOccurred())
			Eventually(func(g Gomega) {
				set := latestSet(ctx, astartes, house, "one")
				g.Expect(set.ID).NotTo(BeEmpty())
				g.Expect(strings.Join(membersOf(ctx, set.ID), "\n") + "\n").To(Equal(string(want)))
				g.Expect(set.Complete).To(BeTrue())
				g.Expect(set.Recoverable).To(Equal("partly"))
				g.Expect(set.Reasons).To(ConsistOf(HavePrefix("of persistentvolumeclaims one-")))
				id = set.ID
			}).Should(Succeed())

			By("its deletion, which finds the set taken already")
			r := admin.Kubectl(ctx, "delete", "astarte", "one", "-n", house, "--wait=false")
			must.Succeed(r)
			Expect(r.Stderr).To(And(ContainSubstring("could be brought back only partly: of persistentvolumeclaims one-"), ContainSubstring("saved astarte "+house+"/one before its deletion")))
			// It may have been saved while it was going; what it was is still there.
			Expect(strings.Join(membersOf(ctx, id), "\n") + "\n").To(Equal(string(want)))
		})
	}

	It("says what may not be read, and is not complete then", func(ctx SpecContext) {
		o := install(ctx, standin.Shapes()[1])
		place := must.Namespace(ctx, admin, "place")
		Expect(o.CreateAstarte(ctx, admin, place, "hidden")).To(Succeed())
		Eventually(func(g Gomega) {
			set := latestSet(ctx, astartes, place, "hidden")
			g.Expect(set.Reasons).To(ContainElement("Secrets of namespace " + place + " may not be read"))
			g.Expect(set.Complete).To(BeFalse())
			g.Expect(set.Recoverable).To(Equal("partly"))
		}).Should(Succeed())
		Eventually(metric).WithArguments(ctx, `holdfast_guarded_objects_without_recent_set{resource="`+astartes+`"}`).Should(BeNumerically(">=", 1))
		r := admin.Kubectl(ctx, "delete", "astarte", "hidden", "-n", place, "--wait=false")
		must.Succeed(r)
		Expect(strings.Join(strings.Fields(strings.ReplaceAll(r.Stderr, "Warning: holdfast:", "")), " ")).To(ContainSubstring("Secrets of namespace " + place + " may not be read"))
	})
})
