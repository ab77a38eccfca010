// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const voyagers = "astartevoyageringresses.api.astarte-platform.org"

// storeOtherwise makes a definition store its objects in the version that it
// does not store them in now, as an upgrade of the operator does: those that
// are there stay encoded as they were, and without the conversion webhook
// nobody can delete them by the collection any more (seen: 1.0 to 23.5).
func storeOtherwise(ctx context.Context, definition string) {
	GinkgoHelper()
	crds := stage.Client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	Eventually(func() error {
		crd, err := crds.Get(ctx, definition, metav1.GetOptions{})
		if err != nil {
			return err
		}
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		Expect(versions).To(HaveLen(2))
		for _, v := range versions {
			version := v.(map[string]any)
			version["storage"] = version["storage"] != true
		}
		if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
			return err
		}
		_, err = crds.Update(ctx, crd, metav1.UpdateOptions{})
		return err
	}).Should(Succeed())
}

// expectStuck waits until the API server has given a definition up.
func expectStuck(ctx context.Context, definition string) {
	GinkgoHelper()
	Eventually(func() string {
		return stage.Admin.Kubectl(ctx, "get", "crd", definition, "-o", `jsonpath={.status.conditions[?(@.type=="Terminating")].reason}`).Stdout
	}).Should(Equal("InstanceDeletionFailed"))
}

func voyager(ctx context.Context, p *place, name string) (*unstructured.Unstructured, error) {
	gvr := p.Shape.Astartes()
	gvr.Resource = "astartevoyageringresses"
	return stage.Client.Resource(gvr).Namespace(house).Get(ctx, name, metav1.GetOptions{})
}

var _ = Describe("An Astarte whose definitions are stuck for want of the conversion webhook", func() {
	It("comes back with all that was in them", func(ctx SpecContext) {
		guard(ctx)
		p := settle(ctx, shapeOf("v23.5.2"), "helm4", "stuck")
		expectRecorded(ctx, p)
		before, err := voyager(ctx, p, "stuck-avi")
		Expect(err).NotTo(HaveOccurred())
		for _, definition := range []string{astartes, voyagers} {
			storeOtherwise(ctx, definition)
		}
		bypass(ctx)
		p.uninstall(ctx)
		expectStuck(ctx, astartes)
		expectStuck(ctx, voyagers)

		By("what is saved is found by every name, though nobody serves it")
		adi := "astartedefaultingresses.ingress.astarte-platform.org/" + house + "/stuck-adi/"
		for _, word := range []string{
			"adi", "ADI", "astartedefaultingress", "astartedefaultingresses", "AstarteDefaultIngress", "adi.ingress.astarte-platform.org",
			"astartedefaultingresses.ingress", "astartedefaultingresses.ingress.astarte-platform.org", "astartedefaultingresses.v1alpha1.ingress.astarte-platform.org",
		} {
			for _, args := range [][]string{{word}, {word, "stuck-adi"}, {word + "/stuck-adi"}, {word, "stuck-adi", "-n", house}} {
				r := stage.Admin.Holdfast(ctx, append([]string{"recovery", "list", "-o", "name"}, args...)...)
				must.Succeed(r)
				Expect(r.Stdout).To(HavePrefix(adi), "%v", args)
			}
			sets := stage.Admin.Holdfast(ctx, "recovery", "list", "--sets", word, "stuck-adi", "-o", "name")
			must.Succeed(sets)
			Expect(sets.Stdout).To(HavePrefix(adi))
		}
		for _, command := range []string{"recovery undo", "recovery snapshot", "explain"} {
			r := stage.Admin.Holdfast(ctx, append(strings.Fields(command), "adi", "stuck-adi", "-n", house)...)
			Expect(r.Code).To(Equal(2), r.Output)
			Expect(r.Stderr).To(Equal("holdfast: the cluster does not serve astartedefaultingresses.ingress.astarte-platform.org any more: its CustomResourceDefinition is gone, and its objects with it; 'holdfast recovery list astartedefaultingresses.ingress.astarte-platform.org' shows what is saved of them, and 'holdfast recovery restore' brings it back\n"))
		}
		nothing := stage.Admin.Holdfast(ctx, "recovery", "list", "adi", "nobody")
		Expect(nothing.Code).To(Equal(2), nothing.Output)
		Expect(nothing.Stderr).To(Equal("holdfast: there is no snapshot of adi \"nobody\"; 'holdfast recovery list' shows those there are\n"))

		By("the scan tells how they come back")
		// Now and then the API server tries again, and is not stuck for a moment.
		Eventually(func(g Gomega) {
			scan := stage.Admin.Holdfast(ctx, "recovery", "scan")
			g.Expect(scan.Code).To(Equal(1), scan.Output)
			for _, definition := range []string{astartes, voyagers} {
				g.Expect(scan.Stdout).To(MatchRegexp(`customresourcedefinitions.apiextensions.k8s.io %s\n.*InstanceDeletionFailed.*\n.*holdfast recovery undo %s stuck -n %s`, definition, astartes, house))
			}
		}).Should(Succeed())

		By("its rescue")
		Eventually(func(g Gomega) {
			plan := stage.Admin.Holdfast(ctx, "recovery", "undo", astartes, "stuck", "-n", house)
			g.Expect(plan.Code).To(Equal(4), plan.Output)
			g.Expect(plan.Stdout).To(ContainSubstring("save all " + voyagers + ", make them readable without the operator, and wait until their definition is gone, which is stuck (InstanceDeletionFailed: "))
		}).Should(Succeed())
		r := p.rescue(ctx, nil, "stuck")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring(voyagers + " " + house + "/stuck-avi: brought back from "))
		p.expectBack(ctx)
		after, err := voyager(ctx, p, "stuck-avi")
		Expect(err).NotTo(HaveOccurred())
		Expect(after.Object["spec"]).To(Equal(before.Object["spec"]))
		Expect(after.GetUID()).NotTo(Equal(before.GetUID()))
	})
})
