// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package whole

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// tierIn creates a service tier, and a database elsewhere that uses it.
func tierIn(ctx SpecContext, namespace, user string) {
	GinkgoHelper()
	must.Succeed(admin.RunInput(ctx, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: small}, spec: {}}", "kubectl", "create", "-n", namespace, "-f", "-"))
	if user == "" {
		return
	}
	must.Succeed(admin.RunInput(ctx, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: db}, spec: {type: {tierRef: {name: small, namespace: "+namespace+"}}}}", "kubectl", "create", "-n", user, "-f", "-"))
}

var _ = Describe("A namespace", func() {
	It("stays, with everything in it, while it holds what is in use", func(ctx SpecContext) {
		house, other := must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house")
		tierIn(ctx, house, other)
		must.Succeed(admin.Kubectl(ctx, "create", "configmap", "thing", "-n", house))
		awaitListed(ctx, house)

		r := admin.Kubectl(ctx, "delete", "namespace", house)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("namespace " + house + " holds 1 guarded object: servicetier " + house + "/small (in use by database " + other + "/db)"))
		Expect(admin.Kubectl(ctx, "delete", "namespace", house, "--dry-run=server").Code).To(Equal(1))
		expectUntouched(ctx, namespaces(), "", house)
		expectUntouched(ctx, harness.Tiers(), house, "small")
		Expect(admin.Kubectl(ctx, "get", "configmap", "thing", "-n", house).Code).To(BeZero())

		By("explaining it")
		r = admin.Holdfast(ctx, "explain", "namespace", house)
		must.Succeed(r)
		Expect(r.Stdout).To(And(ContainSubstring("A delete would be REFUSED"), ContainSubstring("holds 1 guarded object"), ContainSubstring("gives a dry-run delete the same answer")))

		By("going, with what it holds saved first, when nobody uses it any more")
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "db", "-n", other))
		r = admin.Kubectl(ctx, "delete", "namespace", house, "--wait=false")
		must.Succeed(r)
		Expect(r.Stderr).To(ContainSubstring("saved 1 guarded objects"))
		Expect(saved(ctx, "servicetiers.cp.nuodb.com")).To(ContainElement(house + "/small"))
		Eventually(must.Object).WithArguments(ctx, client, namespaces(), "", house).WithTimeout(time.Minute).Should(BeNil())
	})

	It("stays for any object where the profile says so, and goes where it says never", func(ctx SpecContext) {
		install(ctx, "crates", "Crate", "Namespaced")
		install(ctx, "labels", "Label", "Namespaced")
		DeferCleanup(uninstall, "crates")
		DeferCleanup(uninstall, "labels")
		house, other := must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house")
		put(ctx, "Crate", house, "one")
		put(ctx, "Label", other, "one")
		awaitListed(ctx, house)
		r := admin.Kubectl(ctx, "delete", "namespace", house)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("holds 1 guarded object: crate " + house + "/one."))
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", other, "--wait=false"))
		Expect(saved(ctx, "labels.stores.example")).To(ContainElement(other + "/one"))
	})

	It("is known to hold something at once, also of a kind that came later", func(ctx SpecContext) {
		house, later := must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house")
		tierIn(ctx, house, "")
		Eventually(listed).WithArguments(ctx, house).Should(BeTrue())
		install(ctx, "crates", "Crate", "Namespaced")
		DeferCleanup(uninstall, "crates")
		put(ctx, "Crate", later, "one")
		Eventually(listed).WithArguments(ctx, later).Should(BeTrue())

		By("and no longer when the last object has gone")
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "small", "-n", house))
		Eventually(listed).WithArguments(ctx, house).Should(BeFalse())
	})

	It("without guarded objects goes while Holdfast is down; one with them does not", func(ctx SpecContext) {
		house, other := must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house")
		tierIn(ctx, house, "")
		must.Succeed(admin.Kubectl(ctx, "create", "configmap", "thing", "-n", other))
		Eventually(listed).WithArguments(ctx, house).Should(BeTrue())
		holdfastDown(ctx)
		awaitListed(ctx, house)
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", other, "--wait=false"))
		r := admin.Kubectl(ctx, "delete", "namespace", house)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring(`failed calling webhook "namespace.holdfast.dev"`))
		expectUntouched(ctx, namespaces(), "", house)
		Eventually(must.Object).WithArguments(ctx, client, namespaces(), "", other).WithTimeout(time.Minute).Should(BeNil())

		By("being listed still when Holdfast has just come back")
		Expect(holdfast.Start(ctx)).To(Succeed())
		Expect(listed(ctx, house)).To(BeTrue())
	})
})
