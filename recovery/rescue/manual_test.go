// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// saveSet saves a set of the Astarte ns/one with members "RESOURCE [NAMESPACE/]NAME",
// and gives back their snapshots by name.
func saveSet(t *testing.T, store *snapshot.Store, mark string, members ...string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	var all []snapshot.SetMember
	for _, text := range members {
		resource, name, _ := strings.Cut(text, " ")
		namespace, own, namespaced := strings.Cut(name, "/")
		if !namespaced {
			namespace, own = "", name
		}
		obj := object(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"X","metadata":{"name":%q,"namespace":%q,"uid":%q%s}}`, own, namespace, text, mark))
		record, err := store.Save(t.Context(), schema.ParseGroupResource(resource), &unstructured.Unstructured{Object: obj.Object}, snapshot.Provenance{})
		if err != nil {
			t.Fatal(err)
		}
		ids[own] = record.ID
		all = append(all, snapshot.SetMember{Resource: resource, Namespace: namespace, Name: own, UID: obj.GetUID(), Snapshot: record.ID})
	}
	root := snapshot.SetRecord{Namespace: "ns", Name: "one", UID: "u-1", APIVersion: "api.astarte-platform.org/v1alpha2", Kind: "Astarte"}
	if _, err := store.SaveSet(t.Context(), snapshot.NewSet(Astartes(), root, all), snapshot.SetRecord{}); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestWhatToApplyByHand(t *testing.T) {
	t.Parallel()
	const crds = "customresourcedefinitions.apiextensions.k8s.io "
	r, _ := stuckRescue(t)
	h := ByHand{Snapshots: r.Recovery.Snapshots, Restore: "holdfast recovery restore"}
	expect := func(key release.Key, want ...string) {
		t.Helper()
		steps, err := h.Steps(t.Context(), key)
		if got := strings.Join(steps, "\n"); err != nil || got != strings.Join(want, "\n") {
			t.Errorf("%v\n%s", err, got)
		}
		var told []string
		h.Tell = func(text string) { told = append(told, text) }
		if err := h.BringBack(t.Context(), key); err != nil || len(told) != len(want) {
			t.Errorf("%v, told %q", err, told)
		}
	}
	const wait = "wait until you have brought the operator back, when told so: "
	expect(release.Key{Namespace: "ops", Name: "shop"}, wait+"helm upgrade --install shop CHART --namespace ops, with the chart, version and values that it had")
	apply := wait + "apply the manifests again that it was installed with, its definitions among them"
	expect(release.Key{}, apply, "nothing of them is saved: take them from where it was installed from, in the version that it had (kubectl apply --server-side -f FILE; a definition is too large for a plain apply)")

	ids := saveSet(t, h.Snapshots, "", crds+"astartes.api.astarte-platform.org", crds+"flows.api.astarte-platform.org", "secrets ns/one-ca", "deployments.apps ns/one-housekeeping", "deployments.apps ops/manager")
	// Taken when it was too late: one definition is gone, and one is going.
	saveSet(t, h.Snapshots, marked+`,"finalizers":["customresourcecleanup.apiextensions.k8s.io"]`, crds+"astartes.api.astarte-platform.org")
	expect(release.Key{}, apply,
		"saved of them are the definition of astartes.api.astarte-platform.org, the definition of flows.api.astarte-platform.org, deployments.apps ops/manager; this brings these back as they were: holdfast recovery restore "+
			strings.Join([]string{ids["astartes.api.astarte-platform.org"], ids["flows.api.astarte-platform.org"], ids["manager"]}, " ")+" --yes",
		"not saved of them: ServiceAccount, ClusterRole, ClusterRoleBinding, Service, ValidatingWebhookConfiguration, MutatingWebhookConfiguration; take these from where it was installed from, in the version that it had: kubectl apply --server-side -f FILE")
}
