// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// saveAs takes a snapshot of an object of a resource, and gives its ID.
func saveAs(ctx context.Context, gr schema.GroupResource, obj *unstructured.Unstructured) string {
	GinkgoHelper()
	r, err := newRecovery(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	record, err := r.Snapshots.Save(ctx, gr, obj, snapshot.Provenance{Operation: "delete", User: "alice", Profile: "nuodb"})
	Expect(err).NotTo(HaveOccurred())
	return record.ID
}

var _ = Describe("recovery undo", func() {
	It("brings back a tier that was deleted while Holdfast was down", func(ctx SpecContext) {
		space := newNamespace(ctx)
		apply(ctx, tierObject(space, "n0.small"))
		before := age(ctx, space, "n0.small")
		deleteByMistake(ctx, "servicetier", space, "n0.small")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "n0.small", "-n", space, "--yes")
		must.Succeed(r)
		Expect(r.Stdout).To(MatchRegexp(`^servicetiers\.cp\.nuodb\.com %s/n0\.small: brought back from [a-z2-7]{16}, missing for [0-9.]+ms\n$`, space))
		after := expectBack(ctx, harness.Tiers(), before)
		Expect(after.GetAnnotations()).NotTo(HaveKey("holdfast.dev/undo"))
		Expect(after.GetOwnerReferences()).To(BeEmpty())
		records := snapshotsOf(ctx, space, "n0.small")
		Expect(records).To(HaveLen(1))
		Expect(records[0]).To(SatisfyAll(
			HaveField("UID", before.GetUID()), HaveField("Operation", "undo"), HaveField("Profile", "nuodb"),
			HaveField("RestoreStatus", true), HaveField("Journal.Phase", snapshot.PhaseDone), HaveField("Journal.NewUID", after.GetUID())))
		// The next apply of the user's own manifest still works.
		apply(ctx, tierObject(space, "n0.small"))
	})

	It("brings features back before the tiers that use them, whatever order they are named in", func(ctx SpecContext) {
		space := newNamespace(ctx)
		feature := newFeature(ctx, space, "z-feature")
		tier := newTier(ctx, space, "a-tier", map[string]any{"name": "z-feature"})
		deleteByMistake(ctx, "servicetier", space, "a-tier")
		deleteByMistake(ctx, "helmfeature", space, "z-feature")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier/a-tier", "feature/z-feature", "-n", space, "--yes")
		must.Succeed(r)
		lines := strings.Split(strings.TrimSpace(r.Stdout), "\n")
		Expect(lines).To(HaveLen(2))
		Expect(lines[0]).To(ContainSubstring("z-feature"))
		Expect(lines[1]).To(ContainSubstring("a-tier"))
		Expect(r.Stderr).NotTo(ContainSubstring("z-feature, which"), "warned of a feature that comes back as well")
		expectBack(ctx, harness.Features(), feature)
		expectBack(ctx, harness.Tiers(), tier)
	})

	It("saves the object once, whoever saved it before it was deleted", func(ctx SpecContext) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		id := save(ctx, tier)
		deleteByMistake(ctx, "servicetier", space, "t")
		must.Succeed(admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes"))
		records := snapshotsOf(ctx, space, "t")
		Expect(records).To(HaveLen(1))
		Expect(records[0].ID).To(Equal(id))
		Expect(records[0].LastAttempt.Operation).To(Equal("undo"))
	})

	It("does it once when it is run twice at the same time", func(ctx SpecContext) {
		for range 5 {
			space := newNamespace(ctx)
			before := newTier(ctx, space, "t")
			deleteByMistake(ctx, "servicetier", space, "t")
			results := make(chan harness.Result)
			for range 2 {
				go func() { results <- admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes") }()
			}
			must.Succeed(<-results)
			must.Succeed(<-results)
			after := expectBack(ctx, harness.Tiers(), before)
			Expect(after.GetManagedFields()).To(ContainElement(HaveField("Manager", "holdfast")))
			Expect(snapshotsOf(ctx, space, "t")).To(HaveLen(1))
		}
	})

	It("says so and does nothing when the object is not Terminating", func(ctx SpecContext) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		must.Succeed(r)
		Expect(r.Stdout).To(Equal("servicetiers.cp.nuodb.com " + space + "/t: skipped: it is not Terminating\n"))
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(tier))
	})

	It("prints its plan and changes nothing without a terminal and without --yes", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t", map[string]any{"name": "nosuch"})
		deleteByMistake(ctx, "servicetier", space, "t")
		before := dump(ctx, space)
		for _, args := range [][]string{{}, {"--dry-run"}, {"--dry-run", "--yes"}} {
			r := admin.Holdfast(ctx, append([]string{"recovery", "undo", "tier", "t", "-n", space}, args...)...)
			Expect(r.Code).To(Equal(map[bool]int{true: 4, false: 0}[len(args) == 0]), r.Stderr)
			Expect(r.Stdout).To(ContainSubstring("Plan: undo 1 object"))
			Expect(r.Stdout).To(ContainSubstring("remove its finalizers (" + finalizer + ", example.com/second)"))
			Expect(r.Stdout).To(ContainSubstring("helmfeatures.cp.nuodb.com " + space + "/nosuch, which does not exist"))
			Expect(r.Stdout).To(ContainSubstring("its generation starts at 1 again (it was 3)"))
		}
		Expect(dump(ctx, space)).To(Equal(before))
	})

	It("names the databases that pin a revision", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		apply(ctx, map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "Database", "metadata": map[string]any{"name": "pinned", "namespace": space},
			"spec": map[string]any{"dbName": "d", "domainRef": map[string]any{"name": "x"}, "type": map[string]any{"sla": "qa", "tierRef": map[string]any{"name": "t", "revision": "2"}}},
		})
		deleteByMistake(ctx, "servicetier", space, "t")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--dry-run")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring("revisions of it are pinned by databases.cp.nuodb.com " + space + "/pinned (revision 2)"))
	})

	It("works at the limit of names", func(ctx SpecContext) {
		space := newNamespace(ctx)
		name := strings.Repeat("a", 253)
		before := newTier(ctx, space, name)
		deleteByMistake(ctx, "servicetier", space, name)
		must.Succeed(admin.Holdfast(ctx, "recovery", "undo", "tier", name, "-n", space, "--yes"))
		expectBack(ctx, harness.Tiers(), before)
	})

	It("refuses beforehand what could not be created again", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "t")
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", space, "--wait=false"))
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, harness.Tiers(), space, "t").GetDeletionTimestamp()).NotTo(BeNil())
		}).Should(Succeed())
		before := get(ctx, harness.Tiers(), space, "t")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(Equal("holdfast: servicetiers.cp.nuodb.com " + space + "/t: its namespace is Terminating and takes no objects; " +
			"wait until it is gone, create it, then restore the object from its snapshot\n"))
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(before))
		destroy(ctx, space, "t")
	})

	It("refuses to take an object away whose dependents would be collected", func(ctx SpecContext) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		child := owned(ctx, space, "child", ownerOf(tier))
		deleteByMistake(ctx, "servicetier", space, "t")
		before := get(ctx, harness.Tiers(), space, "t")
		r := admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes")
		expectOneLine(harness.Result{Code: r.Code, Stderr: r.Stderr}, 1, "the garbage collector would delete what belongs to it as soon as it is away: configmaps "+space+"/child; remove their ownerReferences to it first")
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(before))
		must.Succeed(admin.Kubectl(ctx, "-n", space, "patch", "configmap", "child", "--type=merge", "-p", `{"metadata":{"ownerReferences":null}}`))
		must.Succeed(admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes"))
		Expect(get(ctx, configMaps(), space, "child").GetUID()).To(Equal(child.GetUID()))
	})

	It("does what it can of several and says what it could not", func(ctx SpecContext) {
		space := newNamespace(ctx)
		tier := newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		gone := newNamespace(ctx)
		newTier(ctx, gone, "t")
		must.Succeed(admin.Kubectl(ctx, "delete", "namespace", gone, "--wait=false"))
		other := save(ctx, get(ctx, harness.Tiers(), gone, "t"))
		destroy(ctx, gone, "t")
		first := save(ctx, tier)
		destroy(ctx, space, "t")
		Eventually(func() bool {
			_, err := kube.CoreV1().Namespaces().Get(ctx, gone, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}).Should(BeTrue())
		r := admin.Holdfast(ctx, "recovery", "restore", other, first, "--yes")
		Expect(r.Code).To(Equal(3), "%s%s", r.Stdout, r.Stderr)
		Expect(r.Stdout).To(ContainSubstring(fmt.Sprintf("servicetiers.cp.nuodb.com %s/t: failed: its namespace does not exist; create that first: kubectl create namespace %s\n", gone, gone)))
		Expect(r.Stdout).To(ContainSubstring(fmt.Sprintf("servicetiers.cp.nuodb.com %s/t: brought back", space)))
		expectBack(ctx, harness.Tiers(), tier)
	})
})
