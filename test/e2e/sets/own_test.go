// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

var _ = Describe("What is deleted from the store by hand", func() {
	is := func(ctx context.Context, secret string) int {
		return admin.Kubectl(ctx, "get", "secret", secret, "-n", holdfast.Namespace).Code
	}

	It("is saved anew as long as the object is there; of what is gone the latest set stays", func(ctx SpecContext) {
		namespace, _ := crate(ctx, "kept")
		var set snapshot.SetRecord
		Eventually(func(g Gomega) {
			// Its versions are saved one after the other; the last is what counts.
			set = latestSet(ctx, "crates.stores.example", namespace, "kept")
			for _, secret := range []string{"holdfast-set-" + set.ID, "holdfast-snapshot-" + set.Root} {
				r := admin.Kubectl(ctx, "delete", "secret", secret, "-n", holdfast.Namespace)
				g.Expect(r.Code).To(BeZero(), r.Stderr)
			}
		}).Should(Succeed())
		Eventually(is).WithArguments(ctx, "holdfast-snapshot-"+set.Root).Should(BeZero())
		Eventually(is).WithArguments(ctx, "holdfast-set-"+set.ID).Should(BeZero())

		must.Succeed(admin.Kubectl(ctx, "delete", "crate", "kept", "-n", namespace))
		Eventually(func(g Gomega) {
			record, err := store.Describe(ctx, set.Root)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(record.State).To(Equal(snapshot.StateDeleted))
		}).Should(Succeed())
		r := admin.Kubectl(ctx, "delete", "secret", "holdfast-set-"+set.ID, "-n", holdfast.Namespace)
		Expect(r.Code).To(Equal(1))
		Expect(r.Stderr).To(And(ContainSubstring("holds the latest set of crate "+namespace+"/kept, which is gone"), ContainSubstring("holdfast recovery restore "+set.Root)))
		Expect(is(ctx, "holdfast-set-"+set.ID)).To(BeZero())
		By("bringing it back, after which it may go")
		must.Succeed(admin.Holdfast(ctx, "recovery", "restore", set.Root, "--yes"))
		Eventually(func() int {
			return admin.Kubectl(ctx, "delete", "secret", "holdfast-set-"+set.ID, "-n", holdfast.Namespace).Code
		}).Should(BeZero())
	})
})
