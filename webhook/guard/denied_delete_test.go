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

func TestDeniedDelete(t *testing.T) {
	t.Parallel()
	set := profiles(t, operated)
	owned := ContentsFunc(func(_ context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error) {
		if namespace != "shop" || guarded.Resource.Resource != "plans" {
			return nil, nil
		}
		return []*unstructured.Unstructured{billed("Plan", "gold")}, nil
	})
	broken := ContentsFunc(func(context.Context, string, *profile.Guarded) ([]*unstructured.Unstructured, error) {
		return nil, errors.New("no answer")
	})
	at := stand{state: OperatorState{Users: []string{billingOperator}}}
	tests := map[string]struct {
		reason   string
		resource string
		kind     string
		name     string
		user     string
		stand    stand
		contents Contents
		want     Verdict
		wantErr  string
	}{
		"by the operator": {
			resource: "persistentvolumeclaims", kind: "PersistentVolumeClaim", name: "data-gold-0", user: billingOperator, stand: at, contents: owned,
			want: Verdict{
				Denied: true, Rule: "denied-delete", Causes: []Cause{{Object: billingOperator, Field: "data-{.metadata.name}-"}},
				Message: "profile billing does not let the operator delete persistentvolumeclaim shop/data-gold-0, which belongs to plan shop/gold. It was not deleted, and the operator may go on without it. Whoever wants it gone deletes it by hand: kubectl delete persistentvolumeclaims data-gold-0 -n shop",
			},
		},
		"by the operator as it was": {
			reason:   "its installation may be gone while it still runs",
			resource: "persistentvolumeclaims", kind: "PersistentVolumeClaim", name: "data-gold-0", user: billingOperator, contents: owned,
			stand: stand{known: []string{billingOperator}, err: errors.New("not asked")},
			want: Verdict{
				Denied: true, Rule: "denied-delete", Causes: []Cause{{Object: billingOperator, Field: "data-{.metadata.name}-"}},
				Message: "profile billing does not let the operator delete persistentvolumeclaim shop/data-gold-0, which belongs to plan shop/gold. It was not deleted, and the operator may go on without it. Whoever wants it gone deletes it by hand: kubectl delete persistentvolumeclaims data-gold-0 -n shop",
			},
		},
		"a constant prefix": {
			reason: "needs no object", resource: "configmaps", kind: "ConfigMap", name: "ledger-1", user: billingOperator, stand: at, contents: broken,
			want: Verdict{
				Denied: true, Rule: "denied-delete", Causes: []Cause{{Object: billingOperator, Field: "ledger-"}},
				Message: "profile billing does not let the operator delete configmap shop/ledger-1. It was not deleted, and the operator may go on without it. Whoever wants it gone deletes it by hand: kubectl delete configmaps ledger-1 -n shop",
			},
		},
		"by a person":             {resource: "persistentvolumeclaims", name: "data-gold-0", user: "eve", stand: stand{err: errors.New("not asked")}, contents: broken},
		"by another program":      {resource: "persistentvolumeclaims", name: "data-gold-0", user: "system:serviceaccount:ops:other", stand: at, contents: broken},
		"of another object":       {reason: "silver does not exist", resource: "persistentvolumeclaims", name: "data-silver-0", user: billingOperator, stand: at, contents: owned},
		"another name":            {reason: "a filter that let it come here is coarse", resource: "configmaps", name: "other", user: billingOperator, stand: at, contents: broken},
		"a foreign kind":          {resource: "secrets", name: "data-gold-0", user: billingOperator, stand: at, contents: broken},
		"lookup fault, operators": {resource: "persistentvolumeclaims", name: "data-gold-0", user: billingOperator, stand: stand{err: errors.New("no answer")}, contents: owned, kind: "PersistentVolumeClaim", wantErr: "look up whether system:serviceaccount:ops:billing is an operator that wants to delete persistentvolumeclaim shop/data-gold-0: no answer"},
		"lookup fault, objects":   {resource: "persistentvolumeclaims", name: "data-gold-0", user: billingOperator, stand: at, contents: broken, wantErr: "list plans.billing.example in namespace shop: no answer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Request{Guarded: &profile.Guarded{Profile: "billing", Resource: parseGR(tc.resource)}, Old: billed(tc.kind, tc.name), User: tc.user}
			got, err := DeniedDelete{Operators: tc.stand, Contents: tc.contents, Profiles: set}.Check(t.Context(), r)
			if text := errText(err); text != tc.wantErr {
				t.Errorf("error %q, want %q", text, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}
