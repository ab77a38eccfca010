// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

func configMaps() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
}

// owned is a ConfigMap that belongs to others.
func owned(ctx context.Context, space, name string, owners ...metav1.OwnerReference) *unstructured.Unstructured {
	GinkgoHelper()
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": space}, "data": map[string]any{"a": "b"},
	}}
	obj.SetOwnerReferences(owners)
	made, err := client.Resource(configMaps()).Namespace(space).Create(ctx, obj, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return made
}

func ownerOf(obj *unstructured.Unstructured) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: obj.GetAPIVersion(), Kind: obj.GetKind(), Name: obj.GetName(), UID: obj.GetUID()}
}

var _ = Describe("recovery restore", func() {
	It("brings back a tier that is gone, from a line of the list", func(ctx SpecContext) {
		space := newNamespace(ctx)
		before := newTier(ctx, space, "n0.small")
		id := save(ctx, before)
		destroy(ctx, space, "n0.small")

		r := admin.Holdfast(ctx, "recovery", "list", "-n", space, "-o", "name")
		must.Succeed(r)
		line := strings.TrimSpace(r.Stdout)
		Expect(line).To(Equal("servicetiers.cp.nuodb.com/" + space + "/n0.small/" + id))
		r = admin.Holdfast(ctx, "recovery", "list", "-n", space)
		Expect(r.Stdout).To(MatchRegexp(`%s +servicetiers\.cp\.nuodb\.com +%s +n0\.small +\d+s +alice +attempted +gone\n`, id, space))
		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", line, "--dry-run"))
		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", line, "--yes"))
		after := expectBack(ctx, harness.Tiers(), before)
		Expect(after.GetGeneration()).To(Equal(int64(1)))
		r = admin.Holdfast(ctx, "recovery", "list", "-n", space, "-o", "wide")
		Expect(r.Stdout).To(MatchRegexp(`alice +restored +present +delete +nuodb .*restore done\n`))
	})

	It("points owners at their new selves and drops those that are gone, before the garbage collector does", func(ctx SpecContext) {
		space := newNamespace(ctx)
		again, gone := owned(ctx, space, "again"), owned(ctx, space, "gone")
		child := owned(ctx, space, "child", ownerOf(again), ownerOf(gone))
		orphan := owned(ctx, space, "orphan", ownerOf(gone))
		ids := []string{saveAs(ctx, schema.GroupResource{Resource: "configmaps"}, child), saveAs(ctx, schema.GroupResource{Resource: "configmaps"}, orphan)}
		for _, name := range []string{"again", "gone", "child", "orphan"} {
			must.Succeed(admin.Kubectl(ctx, "-n", space, "delete", "configmap", name, "--ignore-not-found"))
		}
		again = owned(ctx, space, "again")
		r := admin.Holdfast(ctx, append([]string{"recovery", "restore", "--yes"}, ids...)...)
		must.Succeed(r)
		Expect(r.Stderr).To(ContainSubstring(`the reference to its owner ConfigMap "gone" is dropped: it does not exist`))
		Expect(r.Stderr).To(ContainSubstring(`the reference to its owner ConfigMap "again" is pointed at the one that is there now`))
		Expect(get(ctx, configMaps(), space, "child").GetOwnerReferences()).To(Equal([]metav1.OwnerReference{ownerOf(again)}))
		Expect(get(ctx, configMaps(), space, "orphan").GetOwnerReferences()).To(BeEmpty())
		// The garbage collector has had its chance when it has collected another one.
		bait := owned(ctx, space, "bait", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "00000000-0000-0000-0000-000000000000"})
		Eventually(func() error {
			_, err := client.Resource(configMaps()).Namespace(space).Get(ctx, bait.GetName(), metav1.GetOptions{})
			return err
		}).ShouldNot(Succeed())
		get(ctx, configMaps(), space, "child")
		get(ctx, configMaps(), space, "orphan")
	})

	It("brings an owner back before what it owns", func(ctx SpecContext) {
		space := newNamespace(ctx)
		owner := owned(ctx, space, "z-owner")
		child := owned(ctx, space, "a-child", ownerOf(owner))
		ids := []string{saveAs(ctx, schema.GroupResource{Resource: "configmaps"}, child), saveAs(ctx, schema.GroupResource{Resource: "configmaps"}, owner)}
		must.Succeed(admin.Kubectl(ctx, "-n", space, "delete", "configmap", "z-owner"))
		must.Succeed(admin.Kubectl(ctx, "-n", space, "wait", "--for=delete", "configmap/a-child", "--timeout=20s"))
		must.Succeed(admin.Holdfast(ctx, append([]string{"recovery", "restore", "--yes"}, ids...)...))
		live := get(ctx, configMaps(), space, "z-owner")
		Expect(get(ctx, configMaps(), space, "a-child").GetOwnerReferences()).To(Equal([]metav1.OwnerReference{ownerOf(live)}))
	})

	It("leaves an annotation of kubectl apply out that would break the next apply", func(ctx SpecContext) {
		space := newNamespace(ctx)
		polluted := tierObject(space, "t")
		tier := newTier(ctx, space, "t")
		// As after 'kubectl get -o yaml | kubectl apply'.
		exported := tier.DeepCopy()
		delete(exported.Object["metadata"].(map[string]any)["annotations"].(map[string]any), corev1.LastAppliedConfigAnnotation)
		text, err := json.Marshal(exported.Object)
		Expect(err).NotTo(HaveOccurred())
		annotations := tier.GetAnnotations()
		annotations[corev1.LastAppliedConfigAnnotation] = string(text)
		tier.SetAnnotations(annotations)
		id := save(ctx, tier)
		destroy(ctx, space, "t")
		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", id, "--yes"))
		Expect(get(ctx, harness.Tiers(), space, "t").GetAnnotations()).To(Equal(map[string]string{"note": "kept"}))
		apply(ctx, polluted)
	})

	DescribeTable("says what is in the way, and changes nothing", func(ctx SpecContext, prepare func(ctx context.Context, space string) string, code int, want string) {
		space := newNamespace(ctx)
		id := prepare(ctx, space)
		before := dump(ctx, space)
		for _, args := range [][]string{{"--yes"}, {"--dry-run"}} {
			r := admin.Holdfast(ctx, append([]string{"recovery", "restore", id}, args...)...)
			Expect(r.Code).To(Equal(code), "%s%s", r.Stdout, r.Stderr)
			Expect(r.Stdout + r.Stderr).To(ContainSubstring(strings.ReplaceAll(want, "SPACE", space)))
		}
		Expect(dump(ctx, space)).To(Equal(before))
	},
		Entry("the object was never gone", func(ctx context.Context, space string) string {
			return save(ctx, newTier(ctx, space, "t"))
		}, 0, "skipped: it still exists, with the UID it was saved with"),
		Entry("the object is Terminating", func(ctx context.Context, space string) string {
			newTier(ctx, space, "t")
			deleteByMistake(ctx, "servicetier", space, "t")
			return save(ctx, get(ctx, harness.Tiers(), space, "t"))
		}, 1, "it still exists and is Terminating; 'holdfast recovery undo servicetiers.cp.nuodb.com t -n SPACE' brings it back"),
		Entry("another object bears its name", func(ctx context.Context, space string) string {
			id := save(ctx, newTier(ctx, space, "t"))
			destroy(ctx, space, "t")
			newTier(ctx, space, "t")
			return id
		}, 1, "an object of its name exists already, created at"),
		Entry("another object of its name is Terminating", func(ctx context.Context, space string) string {
			id := save(ctx, newTier(ctx, space, "t"))
			destroy(ctx, space, "t")
			newTier(ctx, space, "t")
			deleteByMistake(ctx, "servicetier", space, "t")
			return id
		}, 1, "another object of its name is Terminating; wait until that is gone"),
		Entry("its version is not served", func(ctx context.Context, space string) string {
			tier := newTier(ctx, space, "t")
			destroy(ctx, space, "t")
			tier.SetAPIVersion("cp.nuodb.com/v1alpha1")
			return save(ctx, tier)
		}, 1, "the cluster serves servicetiers.cp.nuodb.com no longer in version v1alpha1, only in v1beta1"),
		Entry("its resource is not there at all", func(ctx context.Context, space string) string {
			tier := newTier(ctx, space, "t")
			destroy(ctx, space, "t")
			tier.SetAPIVersion("gone.example/v1")
			return saveAs(ctx, schema.GroupResource{Group: "gone.example", Resource: "servicetiers"}, tier)
		}, 1, "the cluster has no resource servicetiers.gone.example (its CustomResourceDefinition is missing); install that first"),
		Entry("its namespace is not there", func(ctx context.Context, space string) string {
			tier := newTier(ctx, space, "t")
			destroy(ctx, space, "t")
			tier.SetNamespace("nosuch")
			return save(ctx, tier)
		}, 1, "its namespace does not exist; create that first: kubectl create namespace nosuch"),
	)
})
