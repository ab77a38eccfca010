// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

const operated = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  resources:
  - resource: plans.billing.example
    referencedBy: [{resource: subscriptions.billing.example, path: '{.spec.plan}'}]
  - resource: regions.billing.example
  operators:
  - release: {ofCRDs: [plans.billing.example]}
    requiredFor: [plans.billing.example]
    denyDeletes:
    - {resource: persistentvolumeclaims, namePrefix: 'data-{.metadata.name}-'}
    - {resource: configmaps, namePrefix: ledger-}
`

const billingOperator = "system:serviceaccount:ops:billing"

// stand answers for every operator.
type stand struct {
	state OperatorState
	going bool
	err   error
	// known is what is recalled.
	known []string
}

func (s stand) Of(context.Context, *profile.Operator) (OperatorState, error) { return s.state, s.err }

func (s stand) Going(context.Context, schema.GroupResource) (bool, error) { return s.going, s.err }

func (s stand) Recall(*profile.Operator) []string { return s.known }

func billed(kind, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "billing.example/v1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": "shop", "uid": "u-" + name},
	}}
}

func TestOperator(t *testing.T) {
	t.Parallel()
	set := profiles(t, operated)
	tests := map[string]struct {
		reason   string
		resource string
		stand    stand
		want     Verdict
		wantErr  string
	}{
		"at work": {resource: "plans.billing.example", stand: stand{state: OperatorState{Users: []string{billingOperator}}}},
		"away": {
			resource: "plans.billing.example", stand: stand{state: OperatorState{Away: "Deployment ops/billing is being deleted"}},
			want: Verdict{
				Denied: true, Rule: "operator", Causes: []Cause{{Object: "Deployment ops/billing is being deleted"}},
				Message: "the operator of plan shop/gold is away: Deployment ops/billing is being deleted. Nobody would clean up after it now, and an operator that comes later would finish the deletion at once, with the data. It was not deleted. First bring the operator back, then delete it again. If it must go all the same: holdfast approve plans.billing.example gold -n shop --reason TEXT. See all: holdfast explain plans.billing.example gold -n shop",
			},
		},
		"definition going": {
			reason: "whatever the operator does", resource: "plans.billing.example", stand: stand{going: true},
			want: Verdict{
				Denied: true, Rule: "operator", Causes: []Cause{{Object: "customresourcedefinition plans.billing.example"}},
				Message: "customresourcedefinition plans.billing.example is being deleted, so plan shop/gold could not be created again, and its operator may be gone. It was not deleted. First let that deletion end and install the operator again with its definitions, then delete it. If it must go all the same: holdfast approve plans.billing.example gold -n shop --reason TEXT. See all: holdfast explain plans.billing.example gold -n shop",
			},
		},
		"lookup fault": {
			reason: "is never a yes", resource: "plans.billing.example", stand: stand{err: errors.New("no answer")},
			wantErr: "look up the definition of plan shop/gold: no answer",
		},
		"not required": {reason: "the profile needs it for plans alone", resource: "regions.billing.example", stand: stand{err: errors.New("not asked")}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guarded, ok := set.Guarded(parseGR(tc.resource))
			if !ok {
				t.Fatal("not guarded")
			}
			got, err := Operator{Operators: tc.stand, Profiles: set}.Check(t.Context(), Request{Guarded: guarded, Old: billed("Plan", "gold"), User: "eve"})
			if text := errText(err); text != tc.wantErr {
				t.Errorf("error %q, want %q", text, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}

// halfKnown answers about definitions only.
type halfKnown struct{ stand }

func (halfKnown) Of(context.Context, *profile.Operator) (OperatorState, error) {
	return OperatorState{}, errors.New("may not list Deployments")
}

func TestOperatorUnknown(t *testing.T) {
	t.Parallel()
	set := profiles(t, operated)
	guarded, _ := set.Guarded(parseGR("plans.billing.example"))
	_, err := Operator{Operators: halfKnown{}, Profiles: set}.Check(t.Context(), Request{Guarded: guarded, Old: billed("Plan", "gold")})
	if want := "look up the operator of plan shop/gold: may not list Deployments"; errText(err) != want {
		t.Errorf("error %q, want %q", errText(err), want)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
