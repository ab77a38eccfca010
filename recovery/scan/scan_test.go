// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const billing = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  resources:
  - {resource: plans.billing.example, referencedBy: [{resource: subscriptions.billing.example, path: '{.spec.planRef}'}]}
`

var (
	plans = schema.GroupResource{Group: "billing.example", Resource: "plans"}
	noon  = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

// picture is a world with one plan, shop/gold, which change alters.
func picture(t *testing.T, change func(*world, *kind)) *world {
	t.Helper()
	parsed, err := profile.Parse([]byte(billing))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	name := types.NamespacedName{Namespace: "shop", Name: "gold"}
	k := &kind{
		resource: plans, version: "v1", broken: map[string]error{},
		definition: &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "Plan"}, Scope: apiextensionsv1.NamespaceScoped,
		}},
		objects: map[types.NamespacedName]*object{name: {NamespacedName: name, uid: "u-1"}},
	}
	w := &world{profiles: set, kinds: map[schema.GroupResource]*kind{plans: k}, services: map[types.NamespacedName]bool{}}
	change(w, k)
	return w
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	saved := snapshot.Record{ID: "abc", Resource: "plans.billing.example", Namespace: "shop", Name: "gold"}
	savedCRD := snapshot.Record{ID: "def", Resource: "customresourcedefinitions.apiextensions.k8s.io", Name: "plans.billing.example"}
	gone := func(_ *world, k *kind) { k.definition, k.version = nil, ""; clear(k.objects) }
	tests := map[string]struct {
		change func(*world, *kind)
		kind   Kind
		detail string
		mend   string
	}{
		"all well":         {change: func(*world, *kind) {}},
		"never installed":  {change: gone},
		"gone, not saved":  {change: func(w *world, k *kind) { gone(w, k); w.records = []snapshot.Record{saved} }, kind: KindCRDMissing, detail: "it does not exist, and objects of it were saved: shop/gold", mend: "install its operator again, then restore the objects: holdfast recovery list plans.billing.example"},
		"gone, saved":      {change: func(w *world, k *kind) { gone(w, k); w.records = []snapshot.Record{saved, savedCRD} }, kind: KindCRDMissing, detail: "it does not exist, and objects of it were saved: shop/gold", mend: "install its operator again, or: holdfast recovery restore def"},
		"being deleted":    {change: func(_ *world, k *kind) { k.definition.DeletionTimestamp = &metav1.Time{Time: noon} }, kind: KindCRDTerminating, detail: "it is Terminating since 2026-01-02T12:00:00Z and takes its 1 instance along", mend: "do not start the operator yet: it would finish the deletion. See what was saved of the objects: holdfast recovery list plans.billing.example"},
		"only one version": {change: func(_ *world, k *kind) { k.broken["v2"] = errors.New("conversion webhook failed") }, kind: KindConversionBroken, detail: "its 1 instance can be read in version v1 only; v2 fails: conversion webhook failed", mend: "bring the operator's conversion webhook back; until then read with: kubectl get plans.v1.billing.example -A"},
		"no version":       {change: func(_ *world, k *kind) { k.version = ""; k.broken["v2"] = errors.New("conversion webhook failed") }, kind: KindUnreadable, detail: "its objects cannot be read in any version: conversion webhook failed", mend: "bring the operator's conversion webhook back, or set spec.conversion to {strategy: None}"},
		"its deletion is stuck": {change: func(_ *world, k *kind) {
			k.definition.DeletionTimestamp = &metav1.Time{Time: noon}
			k.definition.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{Type: "Terminating", Reason: "InstanceDeletionFailed", Message: "could not issue all deletes"}}
		}, kind: KindCRDStuck, detail: "its deletion is stuck (InstanceDeletionFailed): could not issue all deletes", mend: "do not start the operator yet: it would finish the deletion. See what was saved of the objects: holdfast recovery list plans.billing.example"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := definitions(picture(t, tc.change))
			if tc.kind == "" {
				if len(found) > 0 {
					t.Fatalf("found %+v", found)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("found %+v, want one", found)
			}
			want := Finding{Severity: found[0].Severity, Kind: tc.kind, Resource: "customresourcedefinitions.apiextensions.k8s.io", Name: "plans.billing.example", Detail: tc.detail, Mend: tc.mend}
			if diff := cmp.Diff(want, found[0]); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADefinitionIsMendedWithWhatIsTerminating(t *testing.T) {
	t.Parallel()
	w := picture(t, func(w *world, k *kind) {
		going := &metav1.Time{Time: noon}
		k.definition.DeletionTimestamp = going
		other := *k
		other.resource.Resource, other.definition = "taxes", k.definition.DeepCopy()
		name := types.NamespacedName{Namespace: "shop", Name: "vat"}
		other.objects = map[types.NamespacedName]*object{name: {NamespacedName: name, uid: "u-2", terminating: &going.Time}}
		w.kinds[other.resource] = &other
	})
	w.rescued = plans
	if found := definitions(w); found[0].Mend != "do not start the operator yet: it would finish the deletion. Bring the objects back first: holdfast recovery undo plans.billing.example gold -n shop" {
		t.Errorf("of what is rescued without being Terminating: %+v", found[0])
	}
	w.rescued = schema.GroupResource{}
	const want = "do not start the operator yet: it would finish the deletion. Bring back first what is Terminating, and the operator with it: holdfast recovery undo taxes.billing.example vat -n shop"
	found := definitions(w)
	if len(found) != 2 || found[0].Name != "plans.billing.example" || found[0].Mend != want {
		t.Errorf("found %+v, want of the first %q", found, want)
	}
}

func TestStoredVersions(t *testing.T) {
	t.Parallel()
	several := func(_ *world, k *kind) {
		k.definition.Status.StoredVersions = []string{"v1", "v2"}
		k.definition.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.WebhookConverter}
	}
	for name, tc := range map[string]struct {
		change func(*world, *kind)
		want   int
	}{
		"one":                  {change: func(*world, *kind) {}},
		"several":              {change: several, want: 1},
		"several, no instance": {change: func(w *world, k *kind) { several(w, k); clear(k.objects) }},
		"no webhook":           {change: func(w *world, k *kind) { several(w, k); k.definition.Spec.Conversion = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := storedVersions(picture(t, tc.change)); len(found) != tc.want {
				t.Errorf("found %+v, want %d", found, tc.want)
			}
		})
	}
}

func TestDeadOwners(t *testing.T) {
	t.Parallel()
	secret := func(kind, uid string) func(*world, *resourceKind) {
		return func(w *world, _ *resourceKind) {
			w.owned = []ownedObject{{
				"secrets",
				types.NamespacedName{Namespace: "shop", Name: "ca"},
				metav1.OwnerReference{APIVersion: "billing.example/v1", Kind: kind, Name: "gold", UID: types.UID(uid)},
			}}
		}
	}
	for name, tc := range map[string]struct {
		change func(*world, *resourceKind)
		want   string
	}{
		"alive":              {change: secret("Plan", "u-1")},
		"earlier object":     {change: secret("Plan", "u-0"), want: "it belongs to an earlier Plan gold (UID u-0), which exists no more; the garbage collector deletes it"},
		"kind not installed": {change: secret("Other", "u-0"), want: "it belongs to Other gold, whose kind is not installed; as soon as it is, the garbage collector deletes this"},
		"kind not readable":  {change: func(w *world, k *resourceKind) { secret("Plan", "u-0")(w, k); k.version = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := deadOwners(picture(t, tc.change))
			var got string
			if len(found) > 0 {
				got = found[0].Detail
			}
			if got != tc.want {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

// resourceKind is kind, where a parameter has that name.
type resourceKind = kind

func TestRegistered(t *testing.T) {
	t.Parallel()
	entry := func(blocks bool) hook {
		return hook{resource: "validatingwebhookconfigurations.admissionregistration.k8s.io", configuration: "holdfast", name: "guard.holdfast.dev", blocks: blocks, guarded: []string{"plans.billing.example"}}
	}
	ours := marks{there: true, labels: map[string]string{"app.kubernetes.io/managed-by": "holdfast"}}
	paused := ours
	paused.annotations = map[string]string{"holdfast.dev/paused-until": "2026-03-03T12:00:00Z", "holdfast.dev/paused-by": "alice", "holdfast.dev/paused-reason": "moving house"}
	for name, tc := range map[string]struct {
		own    marks
		hooks  []hook
		detail string
	}{
		"missing":      {detail: "not registered"},
		"refuses":      {own: ours, hooks: []hook{entry(true)}},
		"both entries": {own: ours, hooks: []hook{entry(false), entry(true)}},
		"no entries":   {own: ours, detail: "not registered"},
		"changed":      {own: ours, hooks: []hook{entry(false)}, detail: "somebody changed its entries"},
		"paused":       {own: paused, hooks: []hook{entry(false)}, detail: "Holdfast is paused until 2026-03-03T12:00:00Z by alice (moving house): nothing is refused"},
		"another's":    {own: marks{there: true}, hooks: []hook{entry(true)}, detail: "that Holdfast has not made"},
		"elsewhere":    {hooks: []hook{{resource: entry(true).resource, configuration: "other", blocks: true, guarded: []string{"plans.billing.example"}}}, detail: "not registered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := picture(t, func(w *world, _ *kind) { w.hooks, w.own = tc.hooks, tc.own })
			found := registered(w)
			if tc.detail == "" && len(found) > 0 || tc.detail != "" && (len(found) != 1 || !strings.Contains(found[0].Detail, tc.detail)) {
				t.Errorf("found %+v, want %q", found, tc.detail)
			}
		})
	}
}

func TestManagerOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		labels, annotations map[string]string
		want                string
	}{
		"nobody":           {},
		"Argo CD":          {annotations: map[string]string{"argocd.argoproj.io/tracking-id": "shop:billing.example/Plan:shop/gold"}, want: "Argo CD application shop"},
		"Argo CD by label": {labels: map[string]string{"argocd.argoproj.io/instance": "shop"}, want: "Argo CD application shop"},
		"Flux":             {labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}, want: "Flux Kustomization flux-system/apps"},
		"Flux with Helm":   {labels: map[string]string{"helm.toolkit.fluxcd.io/name": "billing"}, want: "Flux HelmRelease billing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &unstructured.Unstructured{Object: map[string]any{}}
			o.SetLabels(tc.labels)
			o.SetAnnotations(tc.annotations)
			if got := managerOf(o); got != tc.want {
				t.Errorf("manager %q, want %q", got, tc.want)
			}
		})
	}
}
