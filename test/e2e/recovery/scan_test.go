// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/scan"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/test/e2e/harness"
	"github.com/holdfast-dev/holdfast/test/e2e/must"
)

// found runs a scan and gives back what it says of objects in space, or of
// cluster-scoped objects called so.
func found(ctx context.Context, space string) []scan.Finding {
	GinkgoHelper()
	r := admin.Holdfast(ctx, "recovery", "scan", "-o", "json")
	var report scan.Report
	Expect(json.Unmarshal([]byte(r.Stdout), &report)).To(Succeed(), "%s%s", r.Stdout, r.Stderr)
	if len(report.Findings) > 0 {
		Expect(r.Code).To(Equal(1))
	}
	return slices.DeleteFunc(report.Findings, func(f scan.Finding) bool { return f.Namespace != space && f.Name != space })
}

var _ = Describe("recovery scan", func() {
	It("finds what is Terminating, says who uses it, and names the command that mends it", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newFeature(ctx, space, "small-memory")
		newTier(ctx, space, "n0.small", map[string]any{"name": "small-memory"})
		create(ctx, harness.Domains(), map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "Domain", "metadata": map[string]any{"name": "acme", "namespace": space},
			"spec": map[string]any{"type": map[string]any{"tierRef": map[string]any{"name": "n0.small"}}},
		})
		Expect(found(ctx, space)).To(BeEmpty())

		deleteByMistake(ctx, "servicetier", space, "n0.small")
		all := found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Severity).To(Equal(scan.Critical))
		Expect(all[0].Kind).To(Equal(scan.KindTerminating))
		Expect(all[0].Detail).To(ContainSubstring("held by " + finalizer + ", example.com/second"))
		Expect(all[0].Detail).To(ContainSubstring("in use by domains.cp.nuodb.com " + space + "/acme"))
		mend := strings.Fields(all[0].Mend)
		Expect(mend[0]).To(Equal("holdfast"))
		must.Succeed(admin.Holdfast(ctx, append(mend[1:], "--yes")...))
		Expect(found(ctx, space)).To(BeEmpty())
	})

	It("finds what is referred to and gone, with the snapshot to bring it back from", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newFeature(ctx, space, "small-memory")
		tier := newTier(ctx, space, "n0.small", map[string]any{"name": "small-memory"}, map[string]any{"name": "never-there"})
		id := save(ctx, tier)
		all := found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindMissingReferenced))
		Expect(all[0].Name).To(Equal("never-there"))
		Expect(all[0].Detail).To(ContainSubstring("no snapshot of it is known"))

		destroy(ctx, space, "n0.small")
		all = found(ctx, space)
		Expect(all).To(HaveLen(1), "nothing names the tier, so its absence is a notice")
		Expect(all[0].Kind).To(Equal(scan.KindMissingSaved))
		Expect(all[0].Severity).To(Equal(scan.Notice))
		Expect(all[0].Mend).To(HavePrefix("holdfast recovery restore " + id))

		create(ctx, harness.Databases(), map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "Database", "metadata": map[string]any{"name": "demo", "namespace": space},
			"spec": map[string]any{"type": map[string]any{"tierRef": map[string]any{"name": "n0.small"}}},
		})
		all = found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindMissingReferenced))
		Expect(all[0].Severity).To(Equal(scan.Critical))
		Expect(all[0].Mend).To(Equal("holdfast recovery restore " + id))
	})

	It("finds a pinned revision that does not exist", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "n0.small")
		age(ctx, space, "n0.small")
		create(ctx, harness.Databases(), map[string]any{
			"apiVersion": "cp.nuodb.com/v1beta1", "kind": "Database", "metadata": map[string]any{"name": "demo", "namespace": space},
			"spec": map[string]any{"type": map[string]any{"tierRef": map[string]any{"name": "n0.small", "revision": "4711"}}},
		})
		all := found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindRevisionMissing))
		Expect(all[0].Name).To(Equal("demo"))
		Expect(all[0].Detail).To(ContainSubstring("pins revision 4711 of servicetiers.cp.nuodb.com " + space + "/n0.small"))
	})

	It("finds a webhook whose Service is gone and that refuses every write", func(ctx SpecContext) {
		name := "gone-operator-hooks"
		hooks := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
		_, err := client.Resource(hooks).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": map[string]any{"name": name},
			"webhooks": []any{map[string]any{
				"name": "vtier.kb.io", "sideEffects": "None", "admissionReviewVersions": []any{"v1"}, "failurePolicy": "Fail",
				"clientConfig": map[string]any{"service": map[string]any{"namespace": "nuodb-cp-system", "name": "webhook"}},
				"rules":        []any{map[string]any{"apiGroups": []any{"cp.nuodb.com"}, "apiVersions": []any{"v1beta1"}, "operations": []any{"CREATE"}, "resources": []any{"servicetiers"}}},
			}},
		}}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) {
			Expect(client.Resource(hooks).Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
		})
		all := found(ctx, name)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindWebhookGone))
		Expect(all[0].Detail).To(ContainSubstring("leads to service nuodb-cp-system/webhook, which is gone"))
		Expect(all[0].Mend).To(ContainSubstring("kubectl delete validatingwebhookconfigurations.admissionregistration.k8s.io " + name))
	})

	It("finds Secrets whose owner is another one than lives", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "n0.small")
		// The garbage collector leaves alone what names a version that is not served.
		secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
		_, err := client.Resource(secrets).Namespace(space).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{
				"name": "stale", "namespace": space,
				"ownerReferences": []any{map[string]any{"apiVersion": "cp.nuodb.com/v1alpha1", "kind": "ServiceTier", "name": "n0.small", "uid": "00000000-0000-0000-0000-000000000001"}},
			},
		}}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		all := found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindOwnerGone))
		Expect(all[0].Name).To(Equal("stale"))
		// The command that it names keeps the Secret.
		patch := `{"metadata":{"ownerReferences":null}}`
		Expect(all[0].Mend).To(Equal("kubectl patch secrets stale -n " + space + " --type merge -p '" + patch + "'"))
		must.Succeed(admin.Kubectl(ctx, "patch", "secrets", "stale", "-n", space, "--type", "merge", "-p", patch))
		Expect(found(ctx, space)).To(BeEmpty())
	})

	It("says that Holdfast does not stand guard, and what it could not read", func(ctx SpecContext) {
		all := found(ctx, "holdfast")
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindRegistration))
		Expect(all[0].Detail).To(ContainSubstring("not registered"))

		space := newNamespace(ctx)
		var kubeconfig string
		Eventually(func() error { // once the service account is there
			var err error
			kubeconfig, err = cluster.KubeconfigFor(ctx, space, "default")
			return err
		}).Should(Succeed())
		r := admin.As(kubeconfig).Holdfast(ctx, "recovery", "scan")
		Expect(r.Code).To(Equal(1))
		Expect(strings.Count(strings.TrimSpace(r.Stderr), "\n")).To(BeZero(), r.Stderr)
		Expect(r.Stderr).To(ContainSubstring("ask for this right"))
	})

	It("finds recoveries that did not end", func(ctx SpecContext) {
		space := newNamespace(ctx)
		newTier(ctx, space, "n0.small")
		id := save(ctx, get(ctx, harness.Tiers(), space, "n0.small"))
		r, err := newRecovery(cluster.Config)
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Snapshots.SetJournal(ctx, id, snapshot.Journal{Operation: "undo", Phase: snapshot.PhaseStarted, User: "alice"})).To(Succeed())
		all := found(ctx, space)
		Expect(all).To(HaveLen(1))
		Expect(all[0].Kind).To(Equal(scan.KindRecoveryUnfinished))
		Expect(all[0].Detail).To(ContainSubstring("its undo, begun by alice at "))
		Expect(all[0].Mend).To(Equal("holdfast recovery undo servicetiers.cp.nuodb.com n0.small -n " + space))
	})
})
