// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// mixed fills a new namespace with four tiers, of which tier-1 and tier-3 are
// in use, and returns its name.
func mixed(ctx SpecContext) string {
	GinkgoHelper()
	namespace := must.Namespace(ctx, admin, "team")
	for i := range 4 {
		create(ctx, namespace, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: tier-%d, labels: {team: storage}}, spec: {}}", i))
		if i%2 == 1 {
			create(ctx, namespace, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: db-%d}, spec: {type: {tierRef: {name: tier-%d}}}}", i, i))
		}
	}
	return namespace
}

// tiersIn are the tiers of a namespace that are there and not being deleted.
func tiersIn(ctx SpecContext, namespace string) []string {
	GinkgoHelper()
	list, err := client.Resource(harness.Tiers()).Namespace(namespace).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, item := range list.Items {
		if item.GetDeletionTimestamp() == nil {
			names = append(names, item.GetName())
		}
	}
	return names
}

var _ = Describe("Deleting used and unused tiers together", func() {
	It("takes exactly the unused ones with --all", func(ctx SpecContext) {
		namespace := mixed(ctx)
		r := admin.Kubectl(ctx, "delete", "servicetiers", "--all", "-n", namespace)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stdout).To(And(ContainSubstring(`"tier-0" deleted`), ContainSubstring(`"tier-2" deleted`)))
		Expect(tiersIn(ctx, namespace)).To(ConsistOf("tier-1", "tier-3"))
		Expect(savedNames(ctx, namespace)).To(ConsistOf("tier-0", "tier-2"))
	})

	It("takes exactly the unused ones by label", func(ctx SpecContext) {
		namespace := mixed(ctx)
		Expect(admin.Kubectl(ctx, "delete", "servicetiers", "-l", "team=storage", "-n", namespace).Code).To(Equal(1))
		Expect(tiersIn(ctx, namespace)).To(ConsistOf("tier-1", "tier-3"))
	})

	It("never takes a used one with deletecollection, and all unused ones in the end", func(ctx SpecContext) {
		namespace := mixed(ctx)
		// The API server stops a collection at the first refusal, so that it may
		// take several calls; which objects it gets to first is its own affair.
		collection := client.Resource(harness.Tiers()).Namespace(namespace)
		for range 4 {
			err := collection.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
			Expect(statusOf(err).Code).To(BeEquivalentTo(403))
			Expect(tiersIn(ctx, namespace)).To(ContainElements("tier-1", "tier-3"))
		}
		for _, name := range savedNames(ctx, namespace) {
			Expect(name).To(BeElementOf("tier-0", "tier-2"))
		}
		Expect(collection.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=tier-0"})).To(Succeed())
		Expect(collection.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=tier-2"})).To(Succeed())
		Expect(tiersIn(ctx, namespace)).To(ConsistOf("tier-1", "tier-3"))
		Expect(savedNames(ctx, namespace)).To(ConsistOf("tier-0", "tier-2"))
	})

	It("takes a collection of unused ones whole, and saves each", func(ctx SpecContext) {
		namespace := mixed(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "databases", "--all", "-n", namespace))
		Expect(client.Resource(harness.Tiers()).Namespace(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
		Expect(tiersIn(ctx, namespace)).To(BeEmpty())
		Expect(savedNames(ctx, namespace)).To(ConsistOf("tier-0", "tier-1", "tier-2", "tier-3"))
	})
})

var _ = Describe("A dry-run", func() {
	It("of every deletion there is leaves the cluster byte for byte as it was", func(ctx SpecContext) {
		namespace := mixed(ctx)
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: HelmFeature, metadata: {name: unused, finalizers: [example.com/hold]}, spec: {}}")
		By("the cluster coming to rest")
		// A namespace that has just got its objects may not be listed as such yet.
		Eventually(func() string {
			return admin.Kubectl(ctx, "delete", "namespace", namespace, "--dry-run=server").Stderr
		}).Should(ContainSubstring("holds 2 guarded objects"))
		before, err := harness.Dump(ctx, cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() (string, error) {
			last := before
			var err error
			before, err = harness.Dump(ctx, cluster.Config)
			return cmp.Diff(last, before), err
		}).Should(BeEmpty())
		Expect(before).To(HaveKey("servicetiers.cp.nuodb.com/" + namespace + "/tier-0"))

		for _, resource := range []string{"servicetiers", "helmfeatures", "databases", "domains"} {
			r := admin.Kubectl(ctx, "delete", resource+".cp.nuodb.com", "--all", "-n", namespace, "--dry-run=server")
			Expect(r.Code).To(Equal(map[string]int{"servicetiers": 1}[resource]), r.Stderr)
		}
		r := admin.Kubectl(ctx, "delete", "servicetier", "tier-1", "-n", namespace, "--dry-run=server")
		Expect(r.Stderr).To(ContainSubstring("is in use by 1 object"))
		r = admin.Kubectl(ctx, "delete", "servicetier", "tier-0", "-n", namespace, "--dry-run=server")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("(server dry run)"))
		dryRun := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
		collection := client.Resource(harness.Tiers()).Namespace(namespace)
		Expect(statusOf(collection.DeleteCollection(ctx, dryRun, metav1.ListOptions{})).Code).To(BeEquivalentTo(403))
		r = admin.Kubectl(ctx, "delete", "namespace", namespace, "--dry-run=server")
		Expect(r.Stderr).To(ContainSubstring("holds 2 guarded objects"))
		r = admin.Kubectl(ctx, "delete", "crd", "servicetiers.cp.nuodb.com", "--dry-run=server")
		Expect(r.Stderr).To(MatchRegexp(`customresourcedefinition servicetiers.cp.nuodb.com has \d+ instances`))

		after, err := harness.Dump(ctx, cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		Expect(cmp.Diff(before, after)).To(BeEmpty())
	})
})

var _ = Describe("What is deleted already", func() {
	It("is deleted again without a word, and saved once", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: going, finalizers: [example.com/hold]}, spec: {}}")
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "going", "-n", namespace, "--wait=false"))
		going := must.Object(ctx, client, harness.Tiers(), namespace, "going")
		Expect(going.GetDeletionTimestamp()).NotTo(BeNil())
		Expect(snapshots(ctx, namespace)).To(HaveLen(1))

		By("being used from now on: it cannot be kept any more, so nobody is stopped")
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: late}, spec: {type: {tierRef: {name: going}}}}")
		for range 3 {
			must.Succeed(admin.Kubectl(ctx, "delete", "tier", "going", "-n", namespace, "--wait=false"))
		}
		Expect(savedNames(ctx, namespace)).To(HaveEach("going"))
		contents := map[string]bool{}
		for _, s := range snapshots(ctx, namespace) {
			Expect(contents).NotTo(HaveKey(s.ResourceVersion), "the same version twice")
			contents[s.ResourceVersion] = true
		}

		By("going with its finalizers, when nobody uses it")
		strip := func() error {
			_, err := client.Resource(harness.Tiers()).Namespace(namespace).Patch(ctx, "going", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			return err
		}
		Expect(strip()).To(MatchError(ContainSubstring("is in use by 1 object")))
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "late", "-n", namespace))
		Eventually(strip).Should(Succeed())
		Expect(must.Object(ctx, client, harness.Tiers(), namespace, "going")).To(BeNil())
	})

	It("can be deleted again while Holdfast is down, and nothing else can", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "team")
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: going, finalizers: [example.com/hold]}, spec: {}}")
		create(ctx, namespace, tier)
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "going", "-n", namespace, "--wait=false"))
		Expect(holdfast.Kill()).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			if !holdfast.Running() {
				Expect(holdfast.Start(ctx)).To(Succeed())
			}
		})
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "going", "-n", namespace, "--wait=false"))
		must.Succeed(admin.Kubectl(ctx, "patch", "tier", "going", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`,
			"--as=system:serviceaccount:nuodb:operator", "--as-group=system:masters"))
		Expect(must.Object(ctx, client, harness.Tiers(), namespace, "going")).To(BeNil())

		r := admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring(`failed calling webhook "guard.holdfast.dev"`))
		expectUntouched(ctx, harness.Tiers(), namespace, "used")
		By("not holding up what is not guarded")
		create(ctx, namespace, "{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: free}, spec: {}}")
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "free", "-n", namespace))

		Expect(holdfast.Start(ctx)).To(Succeed())
		must.Succeed(admin.Kubectl(ctx, "delete", "tier", "used", "-n", namespace))
	})
})
