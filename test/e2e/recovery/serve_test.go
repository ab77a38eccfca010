// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("With serve up and enforcing", Ordered, func() {
	var holdfast *harness.Holdfast

	BeforeAll(func(ctx SpecContext) {
		var err error
		holdfast, err = harness.Install(ctx, cluster, harness.Options{Namespace: holdfastNamespace})
		Expect(err).NotTo(HaveOccurred())
		Expect(holdfast.Start(ctx)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(holdfast.Stop()).To(Succeed())
			// Without it, no tier could be deleted in the specs that run without serve.
			must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "holdfast"))
		})
	})

	It("an object that was saved before it was deleted comes back as it was", func(ctx SpecContext) {
		space := newNamespace(ctx)
		before := newTier(ctx, space, "t")
		must.Succeed(admin.Kubectl(ctx, "-n", space, "delete", "servicetier", "t", "--wait=false"))
		records := snapshotsOf(ctx, space, "t")
		Expect(records).To(HaveLen(1))
		Expect(records[0].UID).To(Equal(before.GetUID()))
		Expect(records[0].Operation).To(Equal("delete"))
		Expect(records[0].RestoreStatus).To(BeTrue())
		destroy(ctx, space, "t")
		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", records[0].ID, "--yes"))
		expectBack(ctx, harness.Tiers(), before)
	})

	It("an undo takes the snapshot that serve has taken, and serve guards the object again", func(ctx SpecContext) {
		space := newNamespace(ctx)
		before := newTier(ctx, space, "t")
		deleteByMistake(ctx, "servicetier", space, "t")
		// A database that was created in between is what keeps the tier from being deleted again.
		create(ctx, harness.Databases(), map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "Database", "metadata": map[string]any{"name": "d", "namespace": space},
			"spec": map[string]any{"dbName": "d", "domainRef": map[string]any{"name": "x"}, "type": map[string]any{"sla": "qa", "tierRef": map[string]any{"name": "t"}}},
		})
		must.Succeed(admin.Holdfast(ctx, "recovery", "undo", "tier", "t", "-n", space, "--yes"))
		after := expectBack(ctx, harness.Tiers(), before)
		records := snapshotsOf(ctx, space, "t")
		Expect(records).To(HaveLen(1))
		Expect(records[0].Operation).To(Equal("delete"))
		Expect(records[0].LastAttempt.Operation).To(Equal("undo"))
		r := admin.Kubectl(ctx, "-n", space, "delete", "servicetier", "t", "--wait=false")
		Expect(r.Code).NotTo(BeZero())
		Expect(r.Stderr).To(ContainSubstring(space + "/d"))
		Expect(get(ctx, harness.Tiers(), space, "t")).To(Equal(after))
	})
})
