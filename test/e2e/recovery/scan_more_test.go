// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/scan"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
)

func secrets() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
}

// newSecret makes a Secret with that value, and those labels.
func newSecret(ctx context.Context, space, name, value string, labels map[string]any) *unstructured.Unstructured {
	GinkgoHelper()
	return create(ctx, secrets(), map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": space, "labels": labels},
		"stringData": map[string]any{"key": value},
	})
}

var _ = Describe("recovery scan, after a bypass", func() {
	It("finds a Secret that was made anew, until it has its content again", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "n0.small")
		client := client.Resource(secrets()).Namespace(space)
		id := saveAs(ctx, secrets().GroupResource(), newSecret(ctx, space, "devices-ca", "old", nil))
		Expect(found(ctx, space)).To(BeEmpty(), "it is the one that was saved")

		Expect(client.Delete(ctx, "devices-ca", metav1.DeleteOptions{})).To(Succeed())
		newSecret(ctx, space, "devices-ca", "new", nil)
		all := found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0]).To(SatisfyAll(HaveField("Kind", scan.KindSecretReplaced), HaveField("Severity", scan.Critical), HaveField("Name", "devices-ca")))
		Expect(all[0].Mend).To(Equal("holdfast recovery diff " + id + ", then: holdfast recovery restore " + id + " --existing replace"))

		Expect(client.Delete(ctx, "devices-ca", metav1.DeleteOptions{})).To(Succeed())
		newSecret(ctx, space, "devices-ca", "old", nil)
		Expect(found(ctx, space)).To(BeEmpty())
	})

	It("finds what went past Holdfast, and who kept it", func(ctx SpecContext) {
		space := newNamespace(ctx)
		managed := tierObject(space, "n0.small")
		managed["metadata"].(map[string]any)["labels"] = map[string]any{"argocd.argoproj.io/instance": "platform"}
		id := save(ctx, create(ctx, harness.Tiers(), managed))
		destroy(ctx, space, "n0.small")
		r, err := newRecovery(cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		_, err = r.Snapshots.SetState(ctx, id, snapshot.StateDeleted, true)
		Expect(err).NotTo(HaveOccurred())
		Expect(found(ctx, space)).To(ConsistOf(
			SatisfyAll(HaveField("Kind", scan.KindBypassed), HaveField("Severity", scan.Critical), HaveField("Mend", "holdfast recovery restore "+id)),
			SatisfyAll(HaveField("Kind", scan.KindManaged), HaveField("Detail", ContainSubstring("was kept by Argo CD application platform")))))
	})

	It("finds a Helm release that is left uninstalling", func(ctx SpecContext) {
		space := newNamespace(ctx)
		secret := newSecret(ctx, space, "sh.helm.release.v1.shop.v3", "x", map[string]any{"owner": "helm", "name": "shop", "version": "3", "status": "uninstalling"})
		saveAs(ctx, secrets().GroupResource(), secret)
		Expect(found(ctx, space)).To(ConsistOf(SatisfyAll(
			HaveField("Kind", scan.KindRelease), HaveField("Severity", scan.Critical), HaveField("Name", "shop"),
			HaveField("Mend", "holdfast recovery restore release shop -n "+space))))
	})

	It("finds a rescue that did not end", func(ctx SpecContext) {
		keeper := &journal.Keeper{Kube: kube, Namespace: holdfastNamespace, Dir: GinkgoT().TempDir(), Self: journal.Self("alice"), Now: time.Now}
		j, _, err := keeper.Open(ctx, "rescue", "its-target", "holdfast recovery undo x")
		Expect(err).NotTo(HaveOccurred())
		Expect(j.Do(ctx, "freeze x", func(context.Context) error { return nil })).To(Succeed())
		Expect(found(ctx, "its-target")).To(ConsistOf(SatisfyAll(
			HaveField("Kind", scan.KindRecoveryUnfinished), HaveField("Mend", "holdfast recovery undo x"),
			HaveField("Detail", And(ContainSubstring(`its last step was "freeze x"`), ContainSubstring("at work was alice (process "))))))
		Expect(j.Close(ctx)).To(Succeed())
		Expect(found(ctx, "its-target")).To(BeEmpty())
	})
})
