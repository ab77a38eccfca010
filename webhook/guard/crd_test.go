// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// whole is a profile with a namespaced kind that is enforced, and others.
const whole = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  resources:
  - resource: plans.billing.example
    referencedBy: [{resource: subscriptions.billing.example, path: '{.spec.plan}'}]
  - {resource: regions.billing.example, namespaces: {blockWhileHolding: any}}
  - {resource: drafts.billing.example, mode: audit, namespaces: {blockWhileHolding: any}}
  - {resource: notes.billing.example, namespaces: {blockWhileHolding: never}}
---
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: unblocked}
spec:
  crds: {blockWhileInstancesExist: false}
  resources: [{resource: coupons.shop.example}]
`

func profiles(t *testing.T, text string) *profile.Set {
	t.Helper()
	parsed, err := profile.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// deletion is a request to delete the object called name of a kind that
// profiles guard as it is or as a part of the whole.
func deletion(t *testing.T, set *profile.Set, kind, name string) Request {
	t.Helper()
	gr := map[string]string{"CustomResourceDefinition": "customresourcedefinitions.apiextensions.k8s.io", "Namespace": "namespaces", "Plan": "plans.billing.example"}[kind]
	g, ok := set.Subject(parseGR(gr), name)
	if !ok {
		g = &profile.Guarded{Resource: parseGR(gr)}
	}
	return Request{Guarded: g, Old: &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{"name": name}}}}
}

func TestCRD(t *testing.T) {
	t.Parallel()
	set := profiles(t, whole)
	existing := func(e Existing) InstancesFunc {
		return func(context.Context, *unstructured.Unstructured) (Existing, error) { return e, nil }
	}
	some := existing(Existing{Total: 5, Namespaces: []string{"a", "b", "c", "d"}})
	const explain = "If it must go all the same: holdfast approve customresourcedefinitions.apiextensions.k8s.io plans.billing.example --reason TEXT. See all: holdfast explain customresourcedefinitions.apiextensions.k8s.io plans.billing.example"
	tests := map[string]struct {
		reason    string
		kind      string
		name      string
		instances Instances
		want      Verdict
		wantErr   bool
	}{
		"no instances": {name: "plans.billing.example", instances: existing(Existing{})},
		"many": {
			name: "plans.billing.example", instances: some,
			want: Verdict{
				Denied: true, Rule: "crd",
				Message: "customresourcedefinition plans.billing.example has 5 instances in namespaces a, b, c and 1 more, and its deletion would delete all of them, without asking anybody. It was not deleted. First delete the instances, then it again; list them with: kubectl get plans.billing.example -A. " + explain,
				Causes:  []Cause{{Object: "namespace a"}, {Object: "namespace b"}, {Object: "namespace c"}},
			},
		},
		"one, of the cluster": {
			name: "plans.billing.example", instances: existing(Existing{Total: 1}),
			want: Verdict{
				Denied: true, Rule: "crd",
				Message: "customresourcedefinition plans.billing.example has 1 instance, and its deletion would delete it, without asking anybody. It was not deleted. First delete the instances, then it again; list them with: kubectl get plans.billing.example. " + explain,
			},
		},
		"more than were counted": {
			name: "plans.billing.example", instances: existing(Existing{Total: 1501, More: true, Namespaces: []string{"a"}}),
			want: Verdict{
				Denied: true, Rule: "crd",
				Message: "customresourcedefinition plans.billing.example has more than 1501 instances in namespace a, and its deletion would delete all of them, without asking anybody. It was not deleted. First delete the instances, then it again; list them with: kubectl get plans.billing.example -A. " + explain,
				Causes:  []Cause{{Object: "namespace a"}},
			},
		},
		"unreadable": {
			reason: "what cannot be read may be there", name: "plans.billing.example",
			instances: existing(Existing{Unreadable: "conversion webhook failed."}),
			want: Verdict{
				Denied: true, Rule: "crd",
				Message: "the instances of customresourcedefinition plans.billing.example cannot be read in any version (conversion webhook failed), so they count as existing, and would all be deleted with it, without their operator being asked. It was not deleted. First make them readable: bring the operator's conversion webhook back, or set spec.conversion to {strategy: None}. " + explain,
			},
		},
		"lookup fault": {
			name: "plans.billing.example", wantErr: true,
			instances: InstancesFunc(func(context.Context, *unstructured.Unstructured) (Existing, error) {
				return Existing{}, errors.New("no answer")
			}),
		},
		"not blocked by its profile": {name: "coupons.shop.example", instances: some},
		"of no profile":              {name: "subscriptions.billing.example", instances: some},
		"another kind":               {kind: "Plan", name: "plans.billing.example", instances: some},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := tc.kind
			if kind == "" {
				kind = "CustomResourceDefinition"
			}
			got, err := CRD{Instances: tc.instances, Profiles: set}.Check(t.Context(), deletion(t, set, kind, tc.name))
			if (err != nil) != tc.wantErr {
				t.Fatalf("Check() error = %v (%s)", err, tc.reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}
