// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package operators

import (
	"context"
	"encoding/json"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const hold = "stores.example/hold"

// goingTier makes a service tier that is being deleted, and then in use.
func goingTier(ctx context.Context, namespace, name string) *unstructured.Unstructured {
	GinkgoHelper()
	must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: %s, namespace: %s, finalizers: [%s]}, spec: {}}", name, namespace, hold))
	must.Succeed(admin.Kubectl(ctx, "delete", "servicetier", name, "-n", namespace, "--wait=false"))
	must.Create(ctx, admin, namespace, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: %s}, spec: {type: {tierRef: {name: %[1]s}}}}", name))
	return must.Object(ctx, client, harness.Tiers(), namespace, name)
}

// goingCrate is the same of a kind whose operator the profile names.
func goingCrate(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	must.Create(ctx, admin, namespace, fmt.Sprintf("{apiVersion: stores.example/v1, kind: Crate, metadata: {name: %s, finalizers: [%s]}}", name, hold))
	Eventually(func(g Gomega) {
		r := admin.Kubectl(ctx, "delete", "crate", name, "-n", namespace, "--wait=false")
		g.Expect(r.Code).To(BeZero(), r.Stderr)
	}).Should(Succeed())
	must.Create(ctx, admin, namespace, fmt.Sprintf("{apiVersion: stores.example/v1, kind: Pallet, metadata: {name: %s}, spec: {crate: %[1]s}}", name))
}

const noFinalizers = `{"metadata":{"finalizers":null}}`

// strip removes the finalizers of an object as some user.
func strip(ctx context.Context, c dynamic.Interface, gvr schema.GroupVersionResource, namespace, name string, subresources ...string) error {
	GinkgoHelper()
	_, err := c.Resource(gvr).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(noFinalizers), metav1.PatchOptions{}, subresources...)
	return err
}

// expectHeld fails unless the object is still there with its finalizer.
func expectHeld(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) {
	GinkgoHelper()
	o := must.Object(ctx, client, gvr, namespace, name)
	Expect(o).NotTo(BeNil(), "%s %s is gone", gvr.Resource, name)
	Expect(o.GetFinalizers()).To(ContainElement(hold))
}

var _ = Describe("The finalizers of what is being deleted", func() {
	It("stay while it is in use, however they are to be removed", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		before := goingTier(ctx, house, "t")
		saved := len(savedOf(ctx, before.GetUID()))
		tiers := client.Resource(harness.Tiers()).Namespace(house)
		refused := And(MatchError(apierrors.IsForbidden, "IsForbidden"), MatchError(And(
			ContainSubstring("servicetier "+house+"/t is in use by 1 object: database "+house+"/t. Its finalizers were not removed"),
			ContainSubstring("holdfast recovery undo servicetiers.cp.nuodb.com t -n "+house))))

		replaced := before.DeepCopy()
		replaced.SetFinalizers(nil)
		tries := map[string]func(o metav1.PatchOptions) error{
			"merge-patch": func(o metav1.PatchOptions) error {
				_, err := tiers.Patch(ctx, "t", types.MergePatchType, []byte(noFinalizers), o)
				return err
			},
			"json-patch": func(o metav1.PatchOptions) error {
				_, err := tiers.Patch(ctx, "t", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), o)
				return err
			},
			// kubectl's field manager owns them, by the apply that made the object.
			"server-side apply": func(o metav1.PatchOptions) error {
				o.FieldManager = "kubectl"
				_, err := tiers.Patch(ctx, "t", types.ApplyPatchType, []byte(`{"apiVersion":"cp.nuodb.com/v1beta1","kind":"ServiceTier","metadata":{"name":"t"},"spec":{}}`), o)
				return err
			},
			"replace": func(o metav1.PatchOptions) error {
				_, err := tiers.Update(ctx, replaced, metav1.UpdateOptions{DryRun: o.DryRun})
				return err
			},
		}
		for how, try := range tries {
			By(how)
			Expect(try(metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})).To(refused)
			Expect(try(metav1.PatchOptions{})).To(refused)
			expectHeld(ctx, harness.Tiers(), house, "t")
		}
		Expect(must.Object(ctx, client, harness.Tiers(), house, "t").GetResourceVersion()).To(Equal(before.GetResourceVersion()))
		r := admin.Kubectl(ctx, "patch", "servicetier", "t", "-n", house, "--type=merge", "-p", noFinalizers)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(ContainSubstring("Warning: holdfast: servicetier " + house + "/t is in use by 1 object"))
		Expect(savedOf(ctx, before.GetUID())).To(HaveLen(saved))

		By("going, with its last state saved, when nobody uses it any more")
		must.Succeed(admin.Kubectl(ctx, "patch", "servicetier", "t", "-n", house, "--type=merge", "-p", `{"metadata":{"annotations":{"last":"word"}}}`))
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "t", "-n", house))
		dry := admin.Kubectl(ctx, "patch", "servicetier", "t", "-n", house, "--type=merge", "-p", noFinalizers, "--dry-run=server")
		Eventually(func(g Gomega) {
			dry = admin.Kubectl(ctx, "patch", "servicetier", "t", "-n", house, "--type=merge", "-p", noFinalizers, "--dry-run=server")
			g.Expect(dry.Code).To(BeZero(), dry.Stderr)
		}).Should(Succeed())
		r = admin.Kubectl(ctx, "patch", "servicetier", "t", "-n", house, "--type=merge", "-p", noFinalizers)
		must.Succeed(r)
		Expect(r.Stderr).To(ContainSubstring("saved servicetier " + house + "/t as it was with its finalizers"))
		Expect(must.Object(ctx, client, harness.Tiers(), house, "t")).To(BeNil())
		last, err := store.Get(ctx, savedOf(ctx, before.GetUID())[0].ID)
		Expect(err).NotTo(HaveOccurred())
		Expect(last.Object.GetAnnotations()).To(HaveKeyWithValue("last", "word"))
		Expect(last.Object.GetFinalizers()).To(ConsistOf(hold))
	})

	It("are removed by the operator that the profile names, also while Holdfast is down", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		for _, name := range []string{"one", "two"} {
			goingCrate(ctx, house, name)
		}
		err := strip(ctx, as(otherProgram), crateKind(), house, "one")
		Expect(err).To(MatchError(ContainSubstring("If " + otherProgram + " is its operator, name it in operators of profile stores.")))
		Expect(strip(ctx, client, crateKind(), house, "one")).To(MatchError(ContainSubstring("is in use by 1 object: pallet " + house + "/one")))
		expectHeld(ctx, crateKind(), house, "one")
		Expect(strip(ctx, as(storesOperator), crateKind(), house, "one")).To(Succeed())
		Expect(must.Object(ctx, client, crateKind(), house, "one")).To(BeNil())

		holdfastDown()
		down := MatchError(ContainSubstring(`failed calling webhook "finalizers.holdfast.dev"`))
		Expect(strip(ctx, as(otherProgram), crateKind(), house, "two")).To(down)
		Expect(strip(ctx, client, crateKind(), house, "two")).To(down)
		expectHeld(ctx, crateKind(), house, "two")
		Expect(strip(ctx, as(storesOperator), crateKind(), house, "two")).To(Succeed())
		Expect(must.Object(ctx, client, crateKind(), house, "two")).To(BeNil())
	})

	It("may be any program's to remove, where no operator is known, only while Holdfast is down", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		goingTier(ctx, house, "t")
		goingTier(ctx, house, "u")
		Expect(strip(ctx, as(otherProgram), harness.Tiers(), house, "t")).To(MatchError(ContainSubstring("is in use by 1 object")))
		holdfastDown()
		Expect(strip(ctx, client, harness.Tiers(), house, "t")).To(MatchError(ContainSubstring(`failed calling webhook "finalizers.holdfast.dev"`)))
		Expect(strip(ctx, as(otherProgram), harness.Tiers(), house, "t")).To(Succeed())
		Expect(must.Object(ctx, client, harness.Tiers(), house, "t")).To(BeNil())
		By("the control plane")
		for _, user := range []string{"system:apiserver", "system:kube-controller-manager", "system:serviceaccount:kube-system:namespace-controller", "system:serviceaccount:kube-system:generic-garbage-collector"} {
			_, err := as(user).Resource(harness.Tiers()).Namespace(house).Patch(ctx, "u", types.MergePatchType, []byte(noFinalizers), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				Expect(err.Error()).NotTo(ContainSubstring("holdfast.dev"), user)
			}
		}
	})

	It("are removed by an undo, with Holdfast up and down, and the mark is not on what comes back", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		for _, down := range []bool{false, true} {
			name := fmt.Sprintf("down-%v", down)
			before := goingTier(ctx, house, name)
			if down {
				holdfastDown()
			}
			r := admin.Holdfast(ctx, "recovery", "undo", "servicetier", name, "-n", house, "--yes")
			must.Succeed(r)
			after := must.Object(ctx, client, harness.Tiers(), house, name)
			Expect(after).NotTo(BeNil())
			Expect(after.GetUID()).NotTo(Equal(before.GetUID()))
			Expect(after.GetDeletionTimestamp()).To(BeNil())
			Expect(after.GetFinalizers()).To(ConsistOf(hold))
			Expect(after.GetAnnotations()).NotTo(HaveKey("holdfast.dev/undo"))
		}
	})

	It("are not removed by a mark alone, nor by one of another object or of before", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		goingCrate(ctx, house, "c") // of this kind nothing is saved
		uid := must.Object(ctx, client, crateKind(), house, "c").GetUID()
		crates := client.Resource(crateKind()).Namespace(house)
		mark := func(value string, more string) error {
			_, err := crates.Patch(ctx, "c", types.MergePatchType, []byte(fmt.Sprintf(`{"metadata":{"annotations":{"holdfast.dev/undo":%q}%s}}`, value, more)), metav1.PatchOptions{})
			return err
		}
		Expect(mark(string(uid), `,"finalizers":null`)).To(MatchError(ContainSubstring("The mark of an undo does not help while no snapshot of it exists.")))
		Expect(mark("other", `,"finalizers":null`)).To(MatchError(ContainSubstring("Its finalizers were not removed")))
		Expect(mark(string(uid), "")).To(Succeed())
		Expect(mark(string(uid), `,"finalizers":null`)).To(MatchError(ContainSubstring("Its finalizers were not removed")))
		expectHeld(ctx, crateKind(), house, "c")
	})

	It("stay, where the status of a built-in kind lets them be changed", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		must.Create(ctx, admin, house, fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: s, finalizers: [%s]}, spec: {ports: [{port: 80}]}}", hold))
		must.Succeed(admin.Kubectl(ctx, "delete", "service", "s", "-n", house, "--wait=false"))
		must.Create(ctx, admin, house, "{apiVersion: stores.example/v1, kind: Pallet, metadata: {name: s}, spec: {service: s}}")
		Expect(strip(ctx, client, coreKind("services"), house, "s", "status")).To(MatchError(ContainSubstring("service " + house + "/s is in use by 1 object: pallet " + house + "/s")))
		Expect(strip(ctx, client, coreKind("services"), house, "s")).To(MatchError(ContainSubstring("is in use")))
		expectHeld(ctx, coreKind("services"), house, "s")
	})
})

var _ = Describe("The finalizers of a namespace that is being deleted", func() {
	It("stay while it holds what is in use, also those of its spec; its own controller finishes it", func(ctx SpecContext) {
		house, other := must.Namespace(ctx, admin, "house"), must.Namespace(ctx, admin, "house")
		must.Succeed(admin.Kubectl(ctx, "patch", "namespace", house, "--type=merge", "-p", fmt.Sprintf(`{"metadata":{"finalizers":[%q]}}`, hold)))
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: t, namespace: %s, finalizers: [%s]}, spec: {}}", house, hold))
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", house, "--wait=false"))
		must.Create(ctx, admin, other, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: Database, metadata: {name: d}, spec: {type: {tierRef: {name: t, namespace: %s}}}}", house))
		refused := MatchError(ContainSubstring("namespace " + house + " holds 1 guarded object: servicetier " + house + "/t (in use by database " + other + "/d). Its finalizers were not removed"))
		// The API server asks once it knows that this namespace holds something.
		Eventually(func() error {
			_, err := client.Resource(coreKind("namespaces")).Patch(ctx, house, types.MergePatchType, []byte(noFinalizers), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}).Should(refused)
		Expect(strip(ctx, client, coreKind("namespaces"), "", house)).To(refused)
		Expect(strip(ctx, client, coreKind("namespaces"), "", house, "status")).To(refused)
		ns := must.Object(ctx, client, coreKind("namespaces"), "", house)
		unstructured.RemoveNestedField(ns.Object, "spec", "finalizers")
		finalize := func() error {
			_, err := client.Resource(coreKind("namespaces")).Update(ctx, ns, metav1.UpdateOptions{}, "finalize")
			return err
		}
		Expect(finalize()).To(refused)
		By("Holdfast being down")
		holdfastDown()
		Expect(finalize()).To(MatchError(ContainSubstring(`failed calling webhook "namespace-finalizers.holdfast.dev"`)))
		Expect(must.Object(ctx, client, coreKind("namespaces"), "", house)).NotTo(BeNil())

		By("going when nobody uses it any more")
		holdfastUp(ctx)
		must.Succeed(admin.Kubectl(ctx, "delete", "database", "d", "-n", other))
		Eventually(func() error { return strip(ctx, client, harness.Tiers(), house, "t") }).Should(Succeed())
		Eventually(func() error { return strip(ctx, client, coreKind("namespaces"), "", house) }).Should(Succeed())
		Eventually(must.Object).WithArguments(ctx, client, coreKind("namespaces"), "", house).Should(BeNil())
	})
})

var _ = Describe("The finalizers of a definition that is being deleted", func() {
	It("stay while there are instances, also in its status; the API server finishes it", func(ctx SpecContext) {
		const crd = "crates.stores.example"
		house := must.Namespace(ctx, admin, "house")
		must.Create(ctx, admin, house, fmt.Sprintf("{apiVersion: stores.example/v1, kind: Crate, metadata: {name: last, finalizers: [%s]}}", hold))
		holdfastDown()
		// While Holdfast is down, its registration must be out of the way first.
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast"))
		Eventually(func(g Gomega) {
			r := admin.Kubectl(ctx, "delete", "crd", crd, "--wait=false")
			g.Expect(r.Code).To(BeZero(), r.Stderr)
		}).Should(Succeed())
		holdfastUp(ctx)
		refused := MatchError(And(ContainSubstring("customresourcedefinition "+crd+" has "), ContainSubstring("Its finalizers were not removed: without them it would go, and the instances stay behind")))
		Eventually(func() error { return strip(ctx, client, definitions(), "", crd) }).Should(refused)
		Expect(strip(ctx, client, definitions(), "", crd, "status")).To(refused)
		uid := must.Object(ctx, client, definitions(), "", crd).GetUID()

		By("the API server finishing it when they are gone, while Holdfast is down too")
		holdfastDown()
		list, err := client.Resource(crateKind()).List(ctx, metav1.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		for _, o := range list.Items {
			Expect(strip(ctx, as(storesOperator), crateKind(), o.GetNamespace(), o.GetName())).To(Succeed())
		}
		Eventually(func() bool {
			o := must.Object(ctx, client, definitions(), "", crd)
			return o == nil || o.GetUID() != uid
		}).Should(BeTrue())
		installKind(ctx, "crates", "Crate")
	})
})

var _ = Describe("Updates that remove no finalizers of what is being deleted", func() {
	It("do not reach Holdfast", func(ctx SpecContext) {
		house := must.Namespace(ctx, admin, "house")
		goingTier(ctx, house, "t")
		must.Apply(ctx, admin, fmt.Sprintf("{apiVersion: cp.nuodb.com/v1beta1, kind: ServiceTier, metadata: {name: alive, namespace: %s, finalizers: [%s]}, spec: {}}", house, hold))
		holdfastDown()
		for _, body := range []string{
			`{"metadata":{"annotations":{"a":"b"}}}`, `{"spec":{"a":"b"}}`, `{"metadata":{"finalizers":["` + hold + `"],"labels":{"a":"b"}}}`,
		} {
			_, err := client.Resource(harness.Tiers()).Namespace(house).Patch(ctx, "t", types.MergePatchType, []byte(body), metav1.PatchOptions{})
			Expect(err).NotTo(HaveOccurred(), body)
		}
		_, err := client.Resource(harness.Tiers()).Namespace(house).Patch(ctx, "t", types.MergePatchType, []byte(`{"status":{"a":"b"}}`), metav1.PatchOptions{}, "status")
		Expect(err).NotTo(HaveOccurred())
		Expect(strip(ctx, client, harness.Tiers(), house, "alive")).To(Succeed())
		Expect(must.Object(ctx, client, harness.Tiers(), house, "alive").GetFinalizers()).To(BeEmpty())
		By("definitions and namespaces")
		labels, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{"a": "b"}}})
		Expect(err).NotTo(HaveOccurred())
		for gvr, name := range map[schema.GroupVersionResource]string{definitions(): "crates.stores.example", coreKind("namespaces"): house} {
			_, err := client.Resource(gvr).Patch(ctx, name, types.MergePatchType, labels, metav1.PatchOptions{})
			Expect(err).NotTo(HaveOccurred())
		}
	})
})
