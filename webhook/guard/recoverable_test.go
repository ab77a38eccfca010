// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const conditional = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  resources:
  - resource: plans.billing.example
    closure: [{resource: secrets, ownedBy: true}, {resource: notes.billing.example, referring: '{.spec.plan}'}]
    recoverable:
    - {unless: 'object.spec.external', because: the ledger inside it goes with it}
    - {unless: '!has(object.spec.open)', because: open bills are lost}
  - resource: regions.billing.example
`

func TestRecoverable(t *testing.T) {
	t.Parallel()
	set := profiles(t, conditional)
	tests := map[string]struct {
		reason   string
		resource string
		spec     map[string]any
		want     Verdict
		wantErr  bool
	}{
		"no condition": {resource: "regions.billing.example"},
		"yes": {
			reason: "what belongs to it is for whoever saves it", resource: "plans.billing.example", spec: map[string]any{"external": true},
		},
		"no": {
			resource: "plans.billing.example", spec: map[string]any{"external": false, "open": true},
			want: Verdict{
				Denied: true, Rule: "recoverable",
				Message: "plan shop/gold could not be brought back after its deletion: the ledger inside it goes with it; open bills are lost. It was not deleted. First save what would be lost and change what stands against it, then delete again. If it must go all the same: holdfast approve plans.billing.example gold -n shop --reason TEXT. See all: holdfast explain plans.billing.example gold -n shop",
				Causes:  []Cause{{Object: "the ledger inside it goes with it"}, {Object: "open bills are lost"}},
			},
		},
		"lookup fault": {reason: "a condition that cannot be evaluated", resource: "plans.billing.example", spec: map[string]any{}, wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guarded, ok := set.Guarded(parseGR(tc.resource))
			if !ok {
				t.Fatal("not guarded")
			}
			old := &unstructured.Unstructured{Object: map[string]any{"kind": "Plan", "metadata": map[string]any{"name": "gold", "namespace": "shop"}, "spec": tc.spec}}
			got, err := Recoverable{}.Check(t.Context(), Request{Guarded: guarded, Old: old})
			if (err != nil) != tc.wantErr {
				t.Fatalf("Check() error = %v (%s)", err, tc.reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}
