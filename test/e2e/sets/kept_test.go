// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package sets

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// objector refuses every deletion of a crate, for it cannot be reached.
const objector = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: objector}
webhooks:
- name: objector.stores.example
  rules: [{apiGroups: [stores.example], apiVersions: ["*"], operations: [DELETE], resources: [crates]}]
  clientConfig: {url: "https://127.0.0.1:1/"}
  failurePolicy: Fail
  timeoutSeconds: 1
  sideEffects: None
  admissionReviewVersions: [v1]
`

var _ = Describe("A deletion that another webhook refuses", func() {
	It("is marked as kept, also for a Holdfast that starts later, until the object goes", func(ctx SpecContext) {
		namespace, uid := crate(ctx, "wanted")
		newest := func(g Gomega) snapshot.Record {
			records, err := store.List(ctx, snapshot.Filter{UID: types.UID(uid)})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(records).NotTo(BeEmpty())
			return records[0]
		}
		must.Apply(ctx, admin, objector)
		DeferCleanup(func(ctx SpecContext) {
			must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "objector", "--ignore-not-found"))
		})
		Eventually(func() string {
			return admin.Kubectl(ctx, "delete", "crate", "wanted", "-n", namespace, "--dry-run=server").Stderr
		}).Should(ContainSubstring("objector.stores.example"))
		r := admin.Kubectl(ctx, "delete", "crate", "wanted", "-n", namespace)
		Expect(r.Code).NotTo(BeZero())
		Eventually(func(g Gomega) {
			g.Expect(newest(g).State).To(Equal(snapshot.StateAttempted))
		}).Should(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(newest(g).State).To(Equal(snapshot.StateKept))
		}).WithTimeout(3 * time.Minute).Should(Succeed())

		Expect(holdfast.Stop()).To(Succeed())
		Expect(holdfast.Start(ctx)).To(Succeed())
		Expect(newest(Default).State).To(Equal(snapshot.StateKept))
		list := admin.Holdfast(ctx, "recovery", "list", "crate", "wanted", "-n", namespace)
		Expect(list.Stdout).To(MatchRegexp(`wanted .* kept +present`))

		By("deleting it when nobody objects")
		must.Succeed(admin.Kubectl(ctx, "delete", "validatingwebhookconfiguration", "objector"))
		Eventually(func() int {
			return admin.Kubectl(ctx, "delete", "crate", "wanted", "-n", namespace).Code
		}).Should(BeZero())
		Eventually(func(g Gomega) {
			record := newest(g)
			g.Expect(record.State).To(Equal(snapshot.StateDeleted))
			g.Expect(record.Bypass).To(BeFalse())
		}).Should(Succeed())
	})
})
