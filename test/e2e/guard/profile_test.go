// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// A made-up operator, which Holdfast knows from a profile file alone.
var _ = Describe("A profile of one's own", Ordered, func() {
	const plan = "{apiVersion: billing.example/v1, kind: Plan, metadata: {name: gold}, spec: {price: 10}}"

	It("has no referrers while their CRD is not installed", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, plan)
		must.Succeed(admin.Kubectl(ctx, "delete", "plan", "gold", "-n", namespace))
		Expect(savedNames(ctx, namespace)).To(ConsistOf("gold"))
	})

	It("sees referrers at once when their CRD is installed", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, plan)
		installSubscriptions(ctx)
		create(ctx, namespace, "{apiVersion: billing.example/v1, kind: Subscription, metadata: {name: acme}, spec: {planRef: {name: gold}}}")
		r := admin.Kubectl(ctx, "delete", "plan", "gold", "-n", namespace)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(MatchRegexp("gold .*is in use by 1 object: .*acme"))
		expectUntouched(ctx, plans("v1"), namespace, "gold")
	})

	It("guards every served version", func(ctx SpecContext) {
		installSubscriptions(ctx)
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, plan)
		create(ctx, namespace, "{apiVersion: billing.example/v1beta1, kind: Subscription, metadata: {name: acme}, spec: {planRef: gold}}")
		for _, version := range []string{"v1", "v1beta1"} {
			r := admin.Kubectl(ctx, "delete", "plans."+version+".billing.example", "gold", "-n", namespace)
			Expect(r.Code).To(Equal(1), version)
			Expect(r.Stderr).To(ContainSubstring("is in use by 1 object"), version)
			r = admin.Kubectl(ctx, "delete", "--raw", "/apis/billing.example/"+version+"/namespaces/"+namespace+"/plans")
			Expect(r.Code).To(Equal(1), version)
			expectUntouched(ctx, plans(version), namespace, "gold")
		}
		must.Succeed(admin.Kubectl(ctx, "delete", "subscription", "acme", "-n", namespace))
		must.Succeed(admin.Kubectl(ctx, "delete", "plans.v1beta1.billing.example", "gold", "-n", namespace))
		Expect(savedNames(ctx, namespace)).To(ConsistOf("gold"))
	})

	It("guards what is cluster-scoped, from every namespace and by every path", func(ctx SpecContext) {
		installSubscriptions(ctx)
		for i, spec := range []string{
			"{region: north}",
			"{region: {name: north, namespace: ignored}}",
			"{fallbacks: [south, north]}",
		} {
			namespace := must.Namespace(ctx, admin, "team")
			if i == 0 {
				create(ctx, namespace, "{apiVersion: billing.example/v1, kind: Region, metadata: {name: north}, spec: {}}")
			}
			create(ctx, namespace, "{apiVersion: billing.example/v1, kind: Subscription, metadata: {name: acme}, spec: "+spec+"}")
			r := admin.Kubectl(ctx, "delete", "region", "north")
			Expect(r.Code).To(Equal(1), spec)
			Expect(r.Stderr).To(ContainSubstring("is in use by 1 object"), spec)
			expectUntouched(ctx, regions(), "", "north")
			must.Succeed(admin.Kubectl(ctx, "delete", "subscription", "acme", "-n", namespace))
		}
		must.Succeed(admin.Kubectl(ctx, "delete", "region", "north"))
	})

	It("leaves all others undecided, and them alone, when a referring kind cannot be read", func(ctx SpecContext) {
		installSubscriptions(ctx)
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, plan)
		create(ctx, namespace, tier)
		withoutRight(ctx, strings.ReplaceAll(read(ctx, "billing", "rights.yaml"), "[plans, regions, subscriptions]", "[plans, regions]"),
			read(ctx, "billing", "rights.yaml"), "subscriptions.billing.example")
		status := statusOf(client.Resource(plans("v1")).Namespace(namespace).Delete(ctx, "gold", deleteNow()))
		Expect(status.Code).To(BeEquivalentTo(500))
		Expect(status.Message).To(And(
			ContainSubstring("subscriptions.billing.example"), ContainSubstring("forbidden"), ContainSubstring("nothing was changed")))
		expectUntouched(ctx, plans("v1"), namespace, "gold")
		Expect(savedNames(ctx, namespace)).To(BeEmpty())
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace))
	})

	It("goes on when its referrers' CRD is gone again", func(ctx SpecContext) {
		installSubscriptions(ctx)
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, plan)
		create(ctx, namespace, "{apiVersion: billing.example/v1, kind: Subscription, metadata: {name: acme}, spec: {planRef: gold}}")
		Expect(admin.Kubectl(ctx, "delete", "plan", "gold", "-n", namespace).Code).To(Equal(1))
		must.Succeed(admin.Kubectl(ctx, "delete", "crd", "subscriptions.billing.example"))
		must.Succeed(admin.Kubectl(ctx, "delete", "plan", "gold", "-n", namespace))
	})
})

// installSubscriptions makes the kind that refers to plans and regions known;
// it may be there already.
func installSubscriptions(ctx context.Context) {
	GinkgoHelper()
	must.Apply(ctx, admin, read(ctx, "billing", "subscriptions-crd.yaml"))
	Expect(harness.Served(ctx, cluster.Config, "subscriptions.billing.example")).To(Succeed())
}

var _ = Describe("The built-in profile", func() {
	It("leaves a tier undecided when databases cannot be read, and plans alone", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, tier)
		create(ctx, namespace, "{apiVersion: billing.example/v1, kind: Plan, metadata: {name: gold}, spec: {}}")
		var role string
		for _, o := range holdfast.Rights {
			if o.GetKind() == "ClusterRole" && o.GetName() == "holdfast" {
				text, err := o.MarshalJSON()
				Expect(err).NotTo(HaveOccurred())
				role = string(text)
			}
		}
		withoutRight(ctx, strings.ReplaceAll(role, `"databases",`, ""), role, "databases.cp.nuodb.com")
		status := statusOf(client.Resource(harness.Tiers()).Namespace(namespace).Delete(ctx, "used", deleteNow()))
		Expect(status.Code).To(BeEquivalentTo(500))
		Expect(status.Message).To(ContainSubstring("databases.cp.nuodb.com"))
		expectUntouched(ctx, harness.Tiers(), namespace, "used")
		Expect(holdfast.Probe(ctx, "/readyz")).To(Succeed())
		must.Succeed(admin.Kubectl(ctx, "delete", "plan", "gold", "-n", namespace))
	})
})
