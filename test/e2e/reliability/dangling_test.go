// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("A reference that leads to nothing", func() {
	apply := func(ctx SpecContext, namespace, tier string) harness.Result {
		return admin.RunInput(ctx, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: db}, spec: {type: {tierRef: {name: "+tier+"}}}}",
			"kubectl", "apply", "--server-side", "-n", namespace, "-f", "-")
	}

	It("is warned about when it is made, never refused", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		r := apply(ctx, namespace, "nosuch")
		must.Succeed(r)
		Expect(r.Stderr).To(ContainSubstring("Warning: holdfast: database " + namespace + "/db names servicetier " + namespace + "/nosuch in {.spec.type.tierRef}, which does not exist."))

		By("keeping quiet about changes that are not of the spec")
		r = admin.Kubectl(ctx, "label", "database", "db", "-n", namespace, "a=b")
		must.Succeed(r)
		Expect(r.Stderr).NotTo(ContainSubstring("holdfast"))

		By("keeping quiet about a good reference")
		create(ctx, harness.Tiers(), object("ServiceTier", namespace, "good", nil))
		r = apply(ctx, namespace, "good")
		must.Succeed(r)
		Expect(r.Stderr).NotTo(ContainSubstring("holdfast"))

		By("leaving alone what recovery creates, which has told of it before")
		r = admin.RunInput(ctx, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: back}, spec: {type: {tierRef: {name: nosuch}}}}",
			"kubectl", "create", "--field-manager=holdfast", "-n", namespace, "-f", "-")
		must.Succeed(r)
		Expect(r.Stderr).NotTo(ContainSubstring("holdfast"))

		By("warning about one that is on its way")
		tier := object("ServiceTier", namespace, "going", nil)
		tier.SetFinalizers([]string{"example.com/hold"})
		create(ctx, harness.Tiers(), tier)
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "going", "-n", namespace, "--wait=false"))
		r = apply(ctx, namespace, "going")
		must.Succeed(r)
		Expect(r.Stderr).To(ContainSubstring("servicetier " + namespace + "/going in {.spec.type.tierRef}, which is being deleted."))
		must.Succeed(apply(ctx, namespace, "good")) // while it is in use it stays
		Eventually(func() int {
			return admin.Kubectl(ctx, "patch", "tier", "going", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`).Code
		}).Should(BeZero())
	})

	It("is made without a word and without a wait when Holdfast is away", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		for _, h := range replicas.Each {
			Expect(h.Kill()).To(Succeed())
		}
		r := apply(ctx, namespace, "nosuch")
		Expect(replicas.Start(ctx)).To(Succeed())
		must.Succeed(r)
		Expect(r.Stderr).NotTo(ContainSubstring("holdfast"))
	})
})
