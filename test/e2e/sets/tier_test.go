// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

const tiers = "servicetiers.cp.nuodb.com"

var _ = Describe("The set of a tier", func() {
	It("has its features, and who uses it in which revision; one can be taken at will", func(ctx SpecContext) {
		namespace := must.Namespace(ctx, admin, "place")
		const kind = "{apiVersion: cp.nuodb.com/v1beta1, kind: %s, metadata: {name: %s}, spec: %s}"
		for _, o := range [][]any{
			{"HelmFeature", "fast", "{}"},
			{"HelmFeature", "other", "{}"},
			{"ServiceTier", "small", "{features: [{name: fast}]}"},
			{"Domain", "home", "{type: {tierRef: {name: small, revision: '3'}}}"},
		} {
			must.Succeed(admin.RunInput(ctx, fmt.Sprintf(kind, o...), "kubectl", "create", "-n", namespace, "-f", "-"))
		}
		want := []string{
			"domains.cp.nuodb.com " + namespace + "/home (name) pinned to 3",
			"helmfeatures.cp.nuodb.com " + namespace + "/fast",
			tiers + " " + namespace + "/small",
		}
		var set snapshot.SetRecord
		Eventually(func(g Gomega) {
			set = latestSet(ctx, tiers, namespace, "small")
			g.Expect(set.ID).NotTo(BeEmpty())
			g.Expect(membersOf(ctx, set.ID)).To(Equal(want))
			g.Expect(set.Complete).To(BeTrue())
			g.Expect(set.Recoverable).To(Equal("yes"))
		}).Should(Succeed())

		By("taking one now, which finds it taken")
		r := admin.Holdfast(ctx, "recovery", "snapshot", "servicetier", "small", "-n", namespace, "-o", "json")
		must.Succeed(r)
		Expect(r.Stdout).To(ContainSubstring(set.ID))
		record, err := store.Describe(ctx, set.Root)
		Expect(err).NotTo(HaveOccurred())
		crd := admin.Kubectl(ctx, "get", "crd", tiers, "-o", "jsonpath={.metadata.resourceVersion}")
		Expect(record.CRDVersion).To(Equal(strings.TrimSpace(crd.Stdout)))
		Expect(admin.Holdfast(ctx, "recovery", "snapshot", "servicetier", "none", "-n", namespace).Code).To(Equal(2))
	})
})
