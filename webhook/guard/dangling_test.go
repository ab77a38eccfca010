// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/config/profile"
)

const danglingProfile = `
apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  resources:
  - resource: plans.billing.example
    referencedBy:
    - {resource: subscriptions.billing.example, path: '{.spec.plan}'}
    - {resource: subscriptions.billing.example, path: '{.spec.addOns[*]}'}
    - {resource: plans.billing.example, path: '{.spec.basedOn}'}
  - resource: regions.billing.example
    referencedBy:
    - {resource: subscriptions.billing.example, path: '{.spec.region}'}
`

func TestDangling(t *testing.T) {
	t.Parallel()
	parsed, err := profile.Parse([]byte(danglingProfile))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	const away = "subscription shop/a names plan shop/NAME in {.spec.plan}, which does not exist. Create it, or correct the name."
	tests := map[string]struct {
		reason   string
		resource string
		object   string
		want     []string
		wantErr  string
		wantAsks int
	}{
		"there":                    {object: "{spec: {plan: gold}}", wantAsks: 1},
		"names nothing":            {object: "{spec: {}}"},
		"missing":                  {object: "{spec: {plan: gone}}", want: []string{strings.Replace(away, "NAME", "gone", 1)}, wantAsks: 1},
		"missing elsewhere":        {object: "{spec: {plan: {name: gone, namespace: mall}}}", want: []string{"subscription shop/a names plan mall/gone in {.spec.plan}, which does not exist. Create it, or correct the name."}, wantAsks: 1},
		"terminating":              {object: "{spec: {plan: going}}", want: []string{"subscription shop/a names plan shop/going in {.spec.plan}, which is being deleted. See what becomes of it before relying on it."}, wantAsks: 1},
		"cluster-scoped":           {object: "{spec: {region: gone}}", want: []string{"subscription shop/a names region gone in {.spec.region}, which does not exist. Create it, or correct the name."}, wantAsks: 1},
		"named twice":              {reason: "one warning an object", object: "{spec: {plan: gone, addOns: [gone]}}", want: []string{strings.Replace(away, "NAME", "gone", 1)}, wantAsks: 1},
		"itself":                   {resource: "plans", object: "{spec: {basedOn: a}}"},
		"lookup fault":             {object: "{spec: {plan: broken, region: gone}}", want: []string{"subscription shop/a names region gone in {.spec.region}, which does not exist. Create it, or correct the name."}, wantErr: "look up plans shop/broken: no answer", wantAsks: 2},
		"reference of odd shape":   {object: "{spec: {plan: 5, region: gone}}", want: []string{"subscription shop/a names region gone in {.spec.region}, which does not exist. Create it, or correct the name."}, wantErr: "read reference", wantAsks: 1},
		"a kind that does not say": {resource: "invoices", object: "{spec: {plan: gone}}"},
		"no name yet":              {object: "{metadata: {name: '', generateName: a-}, spec: {region: gone}}", want: []string{"subscription shop/a-… names region gone in {.spec.region}, which does not exist. Create it, or correct the name."}, wantAsks: 1},
		"more than are shown": {
			object: "{spec: {addOns: [gone1, gone2, gone3, gone4, gone5]}}", wantAsks: 5,
			want: []string{
				"subscription shop/a names plan shop/gone1 in {.spec.addOns[*]}, which does not exist. Create it, or correct the name.",
				"subscription shop/a names plan shop/gone2 in {.spec.addOns[*]}, which does not exist. Create it, or correct the name.",
				"subscription shop/a names plan shop/gone3 in {.spec.addOns[*]}, which does not exist. Create it, or correct the name.",
				"5 references of subscription shop/a lead to nothing.",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asks := 0
			presence := PresenceFunc(func(_ context.Context, target Target) (State, error) {
				asks++
				state := State{Kind: "Plan", Exists: !strings.HasPrefix(target.Name, "gone"), Terminating: target.Name == "going"}
				if target.Resource.Resource == "regions" {
					state.Kind, state.Clustered = "Region", true
				}
				if target.Name == "broken" {
					return State{}, errors.New("no answer")
				}
				return state, nil
			})
			gr := schema.GroupResource{Group: "billing.example", Resource: "subscriptions"}
			if tc.resource != "" {
				gr.Resource = tc.resource
			}
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(tc.object), &object.Object); err != nil {
				t.Fatal(err)
			}
			object.SetKind("Subscription")
			object.SetNamespace("shop")
			if object.GetGenerateName() == "" {
				object.SetName("a")
			}
			got, err := Dangling{Presence: presence, Profiles: set}.Warnings(t.Context(), gr, object)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error = %v, want %q", err, tc.wantErr)
			}
			if asks != tc.wantAsks {
				t.Errorf("asked %d times, want %d", asks, tc.wantAsks)
			}
		})
	}
}
