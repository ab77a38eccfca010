// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/webhook/guard"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

const (
	plans = "plans.billing.example"
	invs  = "invoices.billing.example"
)

const billing = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  mode: enforce
  resources: [{resource: plans.billing.example}, {resource: invoices.billing.example}]
  operators: [{release: {ofCRDs: [plans.billing.example, invoices.billing.example]}}]
`

// world answers from tables.
type world struct {
	definitions map[string]metav1.ObjectMeta
	existing    map[string]guard.Existing
	unreadable  error
	broken      error
	dropped     []Object
}

func (w world) Definition(_ context.Context, name string) (metav1.Object, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	meta, ok := w.definitions[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "customresourcedefinitions"}, name)
	}
	return &meta, nil
}

func (w world) Existing(_ context.Context, name string) (guard.Existing, error) {
	return w.existing[name], w.unreadable
}

func (w world) Watch(context.Context, string) {}

func (w world) Dropped(context.Context, release.Key) []Object { return w.dropped }

func byHelm(more map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Annotations: map[string]string{"meta.helm.sh/release-name": "bill", "meta.helm.sh/release-namespace": "ops"},
		Labels:      more,
	}
}

func fences(t *testing.T, text string, w world, approved func(release.Key) bool) ([]registration.Fence, error) {
	t.Helper()
	parsed, err := profile.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	f := Fence{Profiles: set, Definitions: w, Instances: w, Dropped: w, Approved: approved}
	return f.Fences(t.Context(), t.Context())
}

func TestFences(t *testing.T) {
	t.Parallel()
	two := map[string]guard.Existing{plans: {Total: 5, Namespaces: []string{"a", "b", "c", "d"}}, invs: {Total: 1}}
	const end = ". Nothing of it may be removed: what goes on running would have no operator any more. First delete the instances, then try again"
	const approve = "; or approve it: holdfast approve release bill -n ops --reason TEXT"
	helm := func(text string, more ...string) registration.Fence {
		return registration.Fence{
			ID: "ops_bill", Targets: append([]string{"release/ops/bill", "namespaces//ops"}, more...),
			Text: "holdfast has fenced Helm release ops/bill, because instances of its definitions exist: " + text + end + approve,
		}
	}
	both := map[string]metav1.ObjectMeta{plans: byHelm(nil), invs: byHelm(nil)}
	const all = "1 of invoices.billing.example; 5 of plans.billing.example in a, b, c and 1 more"
	opened := helm(all)
	opened.Opened = []string{"ConfigMap//old", "ConfigMap/ops/old"}
	tests := map[string]struct {
		profile  string
		world    world
		approved bool
		want     []registration.Fence
	}{
		"none installed":    {world: world{existing: two}},
		"installed by hand": {world: world{definitions: map[string]metav1.ObjectMeta{plans: {}}, existing: two}},
		"no instances":      {world: world{definitions: both}},
		"instances":         {world: world{definitions: both, existing: two}, want: []registration.Fence{helm(all)}},
		"approved":          {world: world{definitions: both, existing: two}, approved: true},
		"unreadable count as existing": {
			world: world{definitions: both, existing: map[string]guard.Existing{plans: {Unreadable: "conversion webhook\nfailed."}}},
			want:  []registration.Fence{helm("plans.billing.example cannot be read (conversion webhook failed)")},
		},
		"no right to look": {
			world: world{definitions: map[string]metav1.ObjectMeta{plans: byHelm(nil)}, unreadable: errors.New("forbidden")},
			want:  []registration.Fence{helm("plans.billing.example cannot be read (forbidden)")},
		},
		"an upgrade drops an object and a definition with instances": {
			world: world{definitions: both, existing: two, dropped: []Object{{Kind: "ConfigMap", Name: "old"}, {Kind: "CustomResourceDefinition.apiextensions.k8s.io", Name: plans}}},
			want:  []registration.Fence{opened},
		},
		"driven by Flux": {
			world: world{definitions: map[string]metav1.ObjectMeta{plans: byHelm(map[string]string{"helm.toolkit.fluxcd.io/name": "hr", "helm.toolkit.fluxcd.io/namespace": "flux"})}, existing: two},
			want:  []registration.Fence{helm("5 of plans.billing.example in a, b, c and 1 more", "helmreleases.helm.toolkit.fluxcd.io/flux/hr", "release/flux/bill")},
		},
		"tracked by Argo CD": {
			world: world{definitions: map[string]metav1.ObjectMeta{invs: {Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "bill:apiextensions.k8s.io/CustomResourceDefinition:/x"}, Labels: map[string]string{"app.kubernetes.io/instance": "else"}}}, existing: two},
			want:  []registration.Fence{{ID: "argo_bill", Targets: []string{"application/bill"}, Text: "holdfast has fenced Argo CD application bill, because instances of its definitions exist: 1 of invoices.billing.example" + end}},
		},
		"tracked by Argo CD's label": {
			world: world{definitions: map[string]metav1.ObjectMeta{invs: {Labels: map[string]string{"app.kubernetes.io/instance": "bill"}}}, existing: two},
			want:  []registration.Fence{{ID: "argo_bill", Targets: []string{"instance/bill"}, Text: "holdfast has fenced Argo CD application bill, because instances of its definitions exist: 1 of invoices.billing.example" + end}},
		},
		"listed by the profile": {
			profile: strings.Replace(billing, "]}}]", "], objects: [{resource: deployments.apps, namespace: ops, name: bill}]}}]", 1),
			world:   world{definitions: map[string]metav1.ObjectMeta{invs: {}}, existing: two},
			want:    []registration.Fence{{ID: "billing_0", Targets: []string{"deployments.apps/ops/bill"}, Text: `holdfast has fenced what profile "billing" lists as an operator, because instances of its definitions exist: 1 of invoices.billing.example` + end}},
		},
		"mode audit": {profile: strings.Replace(billing, "enforce", "audit", 1), world: world{definitions: both, existing: two}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := billing
			if tc.profile != "" {
				text = tc.profile
			}
			got, err := fences(t, text, tc.world, func(k release.Key) bool { return tc.approved && k.Name == "bill" })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("fences (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := fences(t, billing, world{broken: errors.New("no answer")}, nil); err == nil {
		t.Error("definitions that cannot be read are no error: the fence would be opened")
	}
}
