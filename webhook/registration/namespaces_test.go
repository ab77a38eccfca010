// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// conditions are the expressions of an entry; nil when there is no such entry.
func conditions(config *admissionv1.ValidatingWebhookConfiguration, name string) map[string]string {
	for _, w := range config.Webhooks {
		if w.Name == name {
			found := map[string]string{}
			for _, c := range w.MatchConditions {
				found[c.Name] = c.Expression
			}
			return found
		}
	}
	return nil
}

func TestNamespaceEntries(t *testing.T) {
	t.Parallel()
	const first = "oldObject == null || !has(oldObject.metadata.deletionTimestamp)"
	var many []string
	for i := range 9000 {
		many = append(many, fmt.Sprintf("team-%05d", i))
	}
	tests := map[string]struct {
		reason      string
		holding     []string
		want, other map[string]string
	}{
		"none": {other: map[string]string{"first-delete": first}},
		"two": {
			holding: []string{"a", "b"},
			want:    map[string]string{"first-delete": first, "holds-guarded": "oldObject == null || oldObject.metadata.name in ['a', 'b']"},
			other:   map[string]string{"first-delete": first, "holds-none": "!(oldObject == null || oldObject.metadata.name in ['a', 'b'])"},
		},
		"more than an expression may name": {
			reason:  "then all are held while Holdfast is away, rather than none",
			holding: many,
			want:    map[string]string{"first-delete": first, "holds-guarded": "oldObject == null || true"},
			other:   map[string]string{"first-delete": first, "holds-none": "!(oldObject == null || true)"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := Build(nuodb(t), Options{Namespace: "hf", ServiceName: "holdfast", Holding: tc.holding})
			if diff := cmp.Diff(tc.want, conditions(config, "namespace.holdfast.dev")); diff != "" {
				t.Errorf("holding (-want +got), %s:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.other, conditions(config, "other-namespace.holdfast.dev")); diff != "" {
				t.Errorf("others (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNamespacesMayBeLeftOut(t *testing.T) {
	t.Parallel()
	parsed, err := profile.Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: b}\nspec:\n  namespaces: {blockWhileHolding: never}\n  resources: [{resource: plans.billing.example}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(parsed...)
	if err != nil {
		t.Fatal(err)
	}
	config := Build(set, Options{Namespace: "hf", ServiceName: "holdfast", Holding: []string{"a"}})
	for _, name := range []string{"namespace.holdfast.dev", "other-namespace.holdfast.dev"} {
		if conditions(config, name) != nil {
			t.Errorf("there is an entry %s", name)
		}
	}
	if conditions(config, "crd.holdfast.dev") == nil {
		t.Error("there is no entry crd.holdfast.dev")
	}
}

// A keeper that has not seen every kind yet must not take a namespace off the
// list that the one before it has put there.
func TestKeeperKeepsNamespaces(t *testing.T) {
	t.Parallel()
	o := Options{Namespace: "hf", ServiceName: "holdfast", Holding: []string{"old", "shop"}}
	live := Build(nuodb(t), o)
	live.ManagedFields = []metav1.ManagedFieldsEntry{}
	o.Holding = nil
	for name, tc := range map[string]struct {
		complete bool
		want     string
	}{
		"not all known": {false, "oldObject == null || oldObject.metadata.name in ['new', 'old', 'shop']"},
		"all known":     {true, "oldObject == null || oldObject.metadata.name in ['new']"},
	} {
		k := Keeper{Kube: fake.NewClientset(live), Profiles: nuodb(t), Options: o, Holding: func() ([]string, bool) { return []string{"new"}, tc.complete }}
		if _, err := k.Ensure(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		got, err := k.configurations().Get(t.Context(), Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, conditions(got, "namespace.holdfast.dev")["holds-guarded"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
