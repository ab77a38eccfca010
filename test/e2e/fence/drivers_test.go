// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// driver makes a kind known whose objects make releases.
func driver(ctx context.Context, group, kind, version string) {
	GinkgoHelper()
	plural := strings.ToLower(kind) + "s"
	must.Succeed(admin.RunInput(ctx, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[3]s, plural: %[2]s, singular: %[4]s}
  versions:
  - {name: %[5]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, group, plural, kind, strings.ToLower(kind), version), "kubectl", "apply", "--server-side", "-f", "-"))
}

func create(ctx context.Context, object string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		r := admin.RunInput(ctx, object, "kubectl", "apply", "--server-side", "-f", "-")
		g.Expect(r.Code).To(BeZero(), r.Stderr)
	}).Should(Succeed())
}

var _ = Describe("What drives a fenced release", func() {
	It("is not deleted if it is a HelmRelease of Flux, by its names", func(ctx SpecContext) {
		driver(ctx, "helm.toolkit.fluxcd.io", "HelmRelease", "v2")
		must.Succeed(admin.Run(ctx, "helm4", "install", "operators-astarte", chart(ctx, "v23.5.2"), "-n", operators))
		DeferCleanup(cleared, "helm4", operators, "operators-astarte")
		put(ctx, "Astarte")
		closed(ctx, operators, "operators-astarte")
		for name, spec := range map[string]string{
			"astarte": "{targetNamespace: operators}", "named": "{targetNamespace: operators, releaseName: operators-astarte}",
		} {
			create(ctx, "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: "+name+", namespace: house}, spec: "+spec+"}")
			r := admin.Kubectl(ctx, "delete", "helmrelease", name, "-n", "house")
			Expect(r.Code).To(Equal(1))
			Expect(r.Stderr).To(ContainSubstring("holdfast has fenced Helm release operators/operators-astarte"))
		}
		create(ctx, "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: other, namespace: house}, spec: {}}")
		must.Succeed(admin.Kubectl(ctx, "delete", "helmrelease", "other", "-n", "house"))
		must.Succeed(admin.Kubectl(ctx, "delete", "astarte", "one", "-n", "house"))
		Eventually(func() int { return admin.Kubectl(ctx, "delete", "helmreleases", "--all", "-n", "house").Code }).Should(BeZero())
	})

	for what, mark := range map[string]string{
		"annotate": "argocd.argoproj.io/tracking-id=astarte:apps/Deployment:operators/astarte",
		"label":    "app.kubernetes.io/instance=astarte",
	} {
		It("is not deleted if it is an Application of Argo CD, nor is what it tracks, by kubectl "+what, func(ctx SpecContext) {
			driver(ctx, "argoproj.io", "Application", "v1alpha1")
			// Argo CD renders charts itself; Helm knows nothing of it.
			r := admin.Run(ctx, "helm4", "template", "astarte", chart(ctx, "v23.5.2"))
			must.Succeed(r)
			must.Succeed(admin.RunInput(ctx, r.Stdout, "kubectl", "apply", "--server-side", "-n", operators, "-f", "-"))
			DeferCleanup(cleared, "helm4", operators, "astarte")
			DeferCleanup(func(ctx SpecContext) {
				Eventually(func() int {
					admin.Kubectl(ctx, "delete", "astartes", "--all", "-n", "house")
					return admin.RunInput(ctx, r.Stdout, "kubectl", "delete", "--ignore-not-found", "-n", operators, "-f", "-").Code
				}).Should(BeZero())
			})
			for _, o := range [][]string{{"deployment", "astarte", "-n", operators}, {"crd", crd("astartes")}} {
				must.Succeed(admin.Kubectl(ctx, append(append([]string{what}, o...), mark)...))
			}
			create(ctx, "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: astarte, namespace: house}}")
			put(ctx, "Astarte")
			Eventually(func() string { return fenced(ctx, "argo", "astarte") }).ShouldNot(BeEmpty())
			for _, args := range [][]string{{"application", "astarte", "-n", "house"}, {"deployment", "astarte", "-n", operators}} {
				Eventually(func() string {
					return admin.Kubectl(ctx, append([]string{"delete", "--dry-run=server"}, args...)...).Stderr
				}).Should(ContainSubstring("holdfast has fenced Argo CD application astarte"))
			}
			must.Succeed(admin.Kubectl(ctx, "delete", "astarte", "one", "-n", "house"))
			Eventually(func() int { return admin.Kubectl(ctx, "delete", "application", "astarte", "-n", "house").Code }).Should(BeZero())
		})
	}
})
