// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// former is an object that the next version of the chart does not have.
const former = `apiVersion: v1
kind: ConfigMap
metadata: {name: former}
`

var _ = Describe("A fenced release", func() {
	for _, helm := range []string{"helm3", "helm4"} {
		It("is upgraded and rolled back, its history pruned, as ever: "+helm, func(ctx SpecContext) {
			path := chart(ctx, "v23.5.2")
			must.Succeed(admin.Run(ctx, helm, "install", "astarte", path, "-n", operators))
			DeferCleanup(cleared, helm, operators, "astarte")
			put(ctx, "Astarte")
			closed(ctx, operators, "astarte")
			for step := range 12 {
				must.Succeed(admin.Run(ctx, helm, "upgrade", "astarte", path, "-n", operators, "--set", fmt.Sprintf("step=%d", step)))
			}
			must.Succeed(admin.Run(ctx, helm, "rollback", "astarte", "-n", operators))
			Expect(admin.Run(ctx, helm, "list", "--deployed", "-n", operators).Stdout).To(ContainSubstring("\t14"))
			Expect(admin.Run(ctx, helm, "uninstall", "astarte", "-n", operators).Code).To(Equal(1))
		})

		It("loses in an upgrade what the new version lacks, but no definition with instances: "+helm, func(ctx SpecContext) {
			old, next := chart(ctx, "v23.5.2", former), chart(ctx, "v24.5.1")
			must.Succeed(admin.Run(ctx, helm, "install", "astarte", old, "-n", operators))
			DeferCleanup(cleared, helm, operators, "astarte")
			put(ctx, "Astarte")
			put(ctx, "AstarteVoyagerIngress")
			closed(ctx, operators, "astarte")

			r := admin.Run(ctx, helm, "upgrade", "astarte", next, "-n", operators)
			Expect(r.Stderr).To(ContainSubstring("holdfast has fenced Helm release"), "the definition is kept, and it is said why")
			if helm == "helm3" {
				Expect(r.Code).To(BeZero(), "Helm 3 goes on and forgets the definition: %s", r.Stderr)
			} else {
				Expect(r.Code).To(Equal(1), "Helm 4 calls the upgrade failed")
			}
			must.Succeed(admin.Kubectl(ctx, "get", "crd", crd("astartevoyageringresses")))
			must.Succeed(admin.Kubectl(ctx, "get", crd("astartevoyageringresses"), "one", "-n", "house"))

			By("once more, when the instance is gone")
			must.Succeed(admin.Kubectl(ctx, "delete", crd("astartevoyageringresses"), "one", "-n", "house"))
			if helm == "helm3" {
				// It is not in the manifest any more, so Helm does not try again.
				for _, left := range [][]string{{"crd", crd("astartevoyageringresses")}, {"configmap", "former", "-n", operators}} {
					Eventually(func() int {
						return admin.Kubectl(ctx, append([]string{"delete", "--ignore-not-found"}, left...)...).Code
					}).Should(BeZero())
				}
			}
			// The leader may see a revision too late; then the next one heals it.
			Eventually(func(g Gomega) {
				r := admin.Run(ctx, helm, "upgrade", "astarte", next, "-n", operators)
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}).Should(Succeed())
			Expect(admin.Kubectl(ctx, "get", "crd", crd("astartevoyageringresses")).Stderr).To(ContainSubstring("NotFound"))
			Expect(admin.Kubectl(ctx, "get", "configmap", "former", "-n", operators).Stderr).To(ContainSubstring("NotFound"))
			Expect(admin.Run(ctx, helm, "uninstall", "astarte", "-n", operators).Code).To(Equal(1))
		})

		It("keeps what an upgrade drops while Holdfast is down, and the next one heals it: "+helm, func(ctx SpecContext) {
			old, next := chart(ctx, "v23.5.2", former), chart(ctx, "v23.5.2")
			must.Succeed(admin.Run(ctx, helm, "install", "astarte", old, "-n", operators))
			DeferCleanup(cleared, helm, operators, "astarte")
			put(ctx, "Astarte")
			closed(ctx, operators, "astarte")
			Expect(holdfast.Kill()).To(Succeed())
			r := admin.Run(ctx, helm, "upgrade", "astarte", next, "-n", operators)
			Expect(r.Stderr).To(ContainSubstring("holdfast has fenced Helm release operators/astarte"))
			must.Succeed(admin.Kubectl(ctx, "get", "configmap", "former", "-n", operators))
			Expect(holdfast.Start(ctx)).To(Succeed())
			if helm == "helm3" {
				Expect(r.Code).To(BeZero(), "Helm 3 goes on and forgets the object: %s", r.Stderr)
				Eventually(func() int { return admin.Kubectl(ctx, "delete", "configmap", "former", "-n", operators).Code }).Should(BeZero())
				return
			}
			Expect(r.Code).To(Equal(1), "Helm 4 calls the upgrade failed")
			Eventually(func(g Gomega) {
				r := admin.Run(ctx, helm, "upgrade", "astarte", next, "-n", operators)
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}).Should(Succeed())
			Expect(admin.Kubectl(ctx, "get", "configmap", "former", "-n", operators).Stderr).To(ContainSubstring("NotFound"))
		})
	}
})
