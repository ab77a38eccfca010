// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

const twoProfiles = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: a}
spec:
  mode: warn
  namespaces: {blockWhileHolding: never}
  resources:
  - {resource: plans.billing.example, mode: audit}
  - {resource: regions.billing.example, namespaces: {blockWhileHolding: any}}
  - {resource: secrets}
  operators: [{release: {ofCRDs: [subscriptions.billing.example, plans.billing.example]}}]
---
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: b}
spec:
  crds: {blockWhileInstancesExist: false}
  resources: [{resource: coupons.shop.example}]
  operators: [{release: {ofCRDs: [subscriptions.billing.example]}}]
`

func TestCRDs(t *testing.T) {
	t.Parallel()
	parsed, err := Parse([]byte(twoProfiles))
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"coupons.shop.example", "plans.billing.example", "regions.billing.example", "subscriptions.billing.example"}, set.CRDs()); diff != "" {
		t.Errorf("definitions (-want +got):\n%s", diff)
	}
	for name, want := range map[string]CRD{
		"plans.billing.example":         {Guarded{Profile: "a", Resource: CRDResource(), Mode: "audit", Snapshot: "required"}, schema.ParseGroupResource("plans.billing.example"), true},
		"subscriptions.billing.example": {Guarded{Profile: "a", Resource: CRDResource(), Mode: "warn", Snapshot: "required"}, schema.ParseGroupResource("subscriptions.billing.example"), true},
		"coupons.shop.example":          {Guarded{Profile: "b", Resource: CRDResource(), Mode: "enforce", Snapshot: "required"}, schema.ParseGroupResource("coupons.shop.example"), false},
	} {
		got, ok := set.CRD(name)
		if !ok {
			t.Fatalf("%s is not guarded", name)
		}
		if diff := cmp.Diff(want, *got, cmpopts.IgnoreUnexported(Guarded{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	parsed, err := Parse([]byte(twoProfiles))
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	only, err := NewSet(parsed[1])
	if err != nil {
		t.Fatal(err)
	}
	only.guarded[schema.ParseGroupResource("coupons.shop.example")].Holding = v1alpha1.HoldingNever
	for name, tc := range map[string]struct {
		set          *Set
		resource, of string
		want         bool
	}{
		"a guarded object":          {set, "plans.billing.example", "gold", true},
		"its definition":            {set, "customresourcedefinitions.apiextensions.k8s.io", "plans.billing.example", true},
		"another definition":        {set, "customresourcedefinitions.apiextensions.k8s.io", "other.billing.example", false},
		"a namespace":               {set, "namespaces", "shop", true},
		"a namespace nobody guards": {only, "namespaces", "shop", false},
		"another kind":              {set, "configmaps", "gold", false},
	} {
		if _, got := tc.set.Subject(schema.ParseGroupResource(tc.resource), tc.of); got != tc.want {
			t.Errorf("%s: guarded %v, want %v", name, got, tc.want)
		}
	}
	for resource, want := range map[string]v1alpha1.Holding{"plans.billing.example": "never", "regions.billing.example": "any", "coupons.shop.example": "inUse"} {
		if got, _ := set.Guarded(schema.ParseGroupResource(resource)); got.Holding != want {
			t.Errorf("%s: holding %s, want %s", resource, got.Holding, want)
		}
	}
}
