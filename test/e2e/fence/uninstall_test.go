// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// hook is an object that Helm makes before it deletes anything else.
const hook = `apiVersion: v1
kind: ConfigMap
metadata: {name: last-words, annotations: {helm.sh/hook: pre-delete}}
`

var _ = Describe("helm uninstall of an operator in use", func() {
	for _, helm := range []string{"helm3", "helm4"} {
		for what, c := range map[string]struct {
			version, namespace, name string
			more                     []string
		}{
			"whose definitions it would delete":        {version: "v23.5.2", namespace: operators, name: "astarte"},
			"whose definitions it would keep":          {version: "v24.5.1", namespace: operators, name: "astarte"},
			"elsewhere, called otherwise, with a hook": {version: "v23.5.2", namespace: "platform", name: "my-operator", more: []string{hook}},
		} {
			It(fmt.Sprintf("changes nothing, says why, and runs through when it is approved: %s, %s", helm, what), func(ctx SpecContext) {
				done(admin.Run(ctx, helm, "install", c.name, chart(ctx, c.version, c.more...), "-n", c.namespace, "--create-namespace"))
				DeferCleanup(cleared, helm, c.namespace, c.name)
				put(ctx, "Astarte")
				closed(ctx, c.namespace, c.name)
				for _, down := range []bool{false, true} {
					if down {
						By("also while Holdfast is down")
						Expect(holdfast.Kill()).To(Succeed())
					}
					before := settled(ctx)
					r := admin.Run(ctx, helm, "uninstall", c.name, "-n", c.namespace)
					Expect(r.Code).To(Equal(1))
					Expect(r.Stderr).To(And(
						ContainSubstring("holdfast has fenced Helm release "+c.namespace+"/"+c.name),
						ContainSubstring("1 of astartes.api.astarte-platform.org in house"),
						ContainSubstring("holdfast approve release "+c.name+" -n "+c.namespace),
					))
					after := everything(ctx)
					delete(before, "configmaps./"+c.namespace+"/last-words") // a hook runs all the same
					delete(after, "configmaps./"+c.namespace+"/last-words")
					Expect(changes(before, after)).To(BeEmpty())
					Expect(admin.Run(ctx, helm, "list", "--deployed", "-q", "-n", c.namespace).Stdout).To(Equal(c.name + "\n"))
					Expect(admin.Kubectl(ctx, "delete", "deployment", c.name, "-n", c.namespace).Stderr).To(ContainSubstring("Forbidden"))
					Expect(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", c.name+"-validating").Stderr).To(ContainSubstring("Forbidden"))
				}
				Expect(holdfast.Start(ctx)).To(Succeed())

				By("approving it")
				done(admin.Holdfast(ctx, "approve", "release", c.name, "-n", c.namespace, "--reason", "the platform moves"))
				Eventually(func() string { return fenced(ctx, c.namespace, c.name) }).Should(BeEmpty())
				Eventually(func(g Gomega) {
					r := admin.Run(ctx, helm, "uninstall", c.name, "-n", c.namespace)
					g.Expect(r.Code).To(BeZero(), r.Stderr)
				}).Should(Succeed())
				Expect(admin.Run(ctx, helm, "status", c.name, "-n", c.namespace).Stderr).To(ContainSubstring("not found"))
				Expect(admin.Kubectl(ctx, "get", "deployments,services,serviceaccounts", "-n", c.namespace, "-l", "app="+c.name, "-o", "name").Stdout).To(BeEmpty())
			})
		}

		It("works when the last instance is gone: "+helm, func(ctx SpecContext) {
			done(admin.Run(ctx, helm, "install", "astarte", chart(ctx, "v23.5.2"), "-n", operators))
			DeferCleanup(cleared, helm, operators, "astarte")
			put(ctx, "Astarte")
			closed(ctx, operators, "astarte")
			done(admin.Kubectl(ctx, "delete", "astarte", "one", "-n", "house"))
			Eventually(func() string { return fenced(ctx, operators, "astarte") }).Should(BeEmpty())
			Eventually(func() int { return admin.Run(ctx, helm, "uninstall", "astarte", "-n", operators).Code }).Should(BeZero())
			r := admin.Kubectl(ctx, "get", "deployments,services,secrets", "-n", operators, "-o", "name")
			done(r)
			Expect(r.Stdout).To(BeEmpty())
		})
	}
})
