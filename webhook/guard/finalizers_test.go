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
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// savedAs answers whether an object is saved.
func savedAs(is bool, err error) Saved {
	return SavedFunc(func(context.Context, schema.GroupResource, types.UID) (bool, error) { return is, err })
}

// ruleFunc is a function as a Rule.
type ruleFunc func(r Request) (Verdict, error)

func (f ruleFunc) Check(_ context.Context, r Request) (Verdict, error) { return f(r) }

func marked(object *unstructured.Unstructured, value string) *unstructured.Unstructured {
	object.SetAnnotations(map[string]string{"holdfast.dev/undo": value})
	return object
}

func TestFinalizers(t *testing.T) {
	t.Parallel()
	set := profiles(t, operated)
	used := ruleFunc(func(Request) (Verdict, error) {
		return Verdict{Denied: true, Rule: "in-use", Message: "plan shop/gold is in use by 1 object: subscription shop/a. It was not deleted. First point it elsewhere.", Causes: []Cause{{Object: "subscription shop/a", Field: "{.spec.plan}"}}}, nil
	})
	free := ruleFunc(func(Request) (Verdict, error) { return Verdict{}, nil })
	fault := ruleFunc(func(Request) (Verdict, error) { return Verdict{}, errors.New("no answer") })
	at := stand{state: OperatorState{Users: []string{billingOperator}}}
	const reason = "plan shop/gold is in use by 1 object: subscription shop/a. Its finalizers were not removed: with the last of them it is gone. Bring it back with: holdfast recovery undo plans.billing.example gold -n shop. Or, to let it go, first see to it that nobody uses it, then remove them again. "
	const all = "If it must go all the same: holdfast approve plans.billing.example gold -n shop --operation strip-finalizers --reason TEXT. See all: holdfast explain plans.billing.example gold -n shop"
	because := []Cause{{Object: "subscription shop/a", Field: "{.spec.plan}"}}
	refused := Verdict{Denied: true, Rule: "finalizers", Message: reason + all, Causes: because}
	tests := map[string]struct {
		reason  string
		use     Rule
		user    string
		was     *unstructured.Unstructured
		updated *unstructured.Unstructured
		stand   stand
		saved   Saved
		want    Verdict
		wantErr string
	}{
		"nobody uses it":       {use: free, user: "eve"},
		"in use":               {use: used, user: "eve", stand: stand{err: errors.New("a person is no operator")}, want: refused},
		"by its operator":      {use: fault, user: billingOperator, stand: at},
		"by its operator then": {reason: "as it was last seen", use: fault, user: billingOperator, stand: stand{known: []string{billingOperator}, err: errors.New("not asked")}},
		"by another program": {
			use: used, user: "system:serviceaccount:ops:other", stand: at,
			want: Verdict{Denied: true, Rule: "finalizers", Causes: because, Message: reason + "If system:serviceaccount:ops:other is its operator, name it in operators of profile billing. " + all},
		},
		"perhaps by its operator": {
			reason: "that is undecided, and so is the answer", use: used, user: billingOperator, stand: stand{err: errors.New("may not list")},
			wantErr: "look up whether system:serviceaccount:ops:billing is the operator of plan shop/gold: may not list",
		},
		"perhaps by its operator, unused": {reason: "then it does not matter", use: free, user: billingOperator, stand: stand{err: errors.New("may not list")}},
		"lookup fault":                    {use: fault, user: "eve", wantErr: "no answer"},
		"an undo":                         {use: fault, user: "eve", updated: marked(billed("Plan", "gold"), "u-gold"), saved: savedAs(true, nil)},
		"an undo of what is not saved": {
			reason: "a forged mark opens nothing", use: used, user: "eve", updated: marked(billed("Plan", "gold"), "u-gold"), saved: savedAs(false, nil),
			want: Verdict{
				Denied: true, Rule: "finalizers", Causes: append(because[:1:1], Cause{Object: "no snapshot", Field: "metadata.annotations[holdfast.dev/undo]"}),
				Message: reason + "The mark of an undo does not help while no snapshot of it exists. " + all,
			},
		},
		"an undo, lookup fault": {
			use: used, user: "eve", updated: marked(billed("Plan", "gold"), "u-gold"), saved: savedAs(false, errors.New("no answer")),
			wantErr: "look for a snapshot of plan shop/gold: no answer",
		},
		"the mark of another object": {use: used, user: "eve", updated: marked(billed("Plan", "gold"), "u-silver"), saved: savedAs(true, nil), want: refused},
		"a mark that was there": {
			reason: "it must be set in the same request", use: used, user: "eve", was: marked(billed("Plan", "gold"), "u-gold"),
			updated: marked(billed("Plan", "gold"), "u-gold"), saved: savedAs(true, nil), want: refused,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guarded, _ := set.Guarded(parseGR("plans.billing.example"))
			r := Request{Guarded: guarded, Old: tc.was, New: tc.updated, User: tc.user}
			if r.Old == nil {
				r.Old = billed("Plan", "gold")
			}
			if r.New == nil {
				r.New = billed("Plan", "gold")
			}
			got, err := Finalizers{Operators: tc.stand, Saved: tc.saved, Profiles: set, Use: []Rule{free, tc.use}}.Check(t.Context(), r)
			if text := errText(err); text != tc.wantErr {
				t.Errorf("error %q, want %q", text, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
	t.Run("no removal", func(t *testing.T) {
		t.Parallel()
		guarded, _ := set.Guarded(parseGR("plans.billing.example"))
		got, err := Finalizers{Profiles: set, Use: []Rule{used}}.Check(t.Context(), Request{Guarded: guarded, Old: billed("Plan", "gold"), User: "eve"})
		if err != nil || got.Denied {
			t.Errorf("a deletion is another rule's: %+v, %v", got, err)
		}
	})
}

// What goes without its finalizers leaves something behind.
func TestFinalizersOfTheWhole(t *testing.T) {
	t.Parallel()
	set := profiles(t, operated)
	crd := CRD{Profiles: set, Instances: InstancesFunc(func(context.Context, *unstructured.Unstructured) (Existing, error) {
		return Existing{Total: 2, Namespaces: []string{"shop"}}, nil
	})}
	inUse := InUse{Profiles: set, Usage: uses(map[string]Use{"gold": {Total: 1, First: []Referrer{{Kind: "Subscription", Namespace: "mall", Name: "a"}}}})}
	namespace := Namespace{Profiles: set, InUse: inUse, Contents: ContentsFunc(func(_ context.Context, _ string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error) {
		if guarded.Resource.Resource != "plans" {
			return nil, nil
		}
		return []*unstructured.Unstructured{billed("Plan", "gold")}, nil
	})}
	tests := map[string]struct {
		resource schema.GroupResource
		object   *unstructured.Unstructured
		user     string
		want     string
	}{
		"definition": {
			resource: profile.CRDResource(), object: clustered("CustomResourceDefinition", "plans.billing.example"), user: billingOperator,
			want: "customresourcedefinition plans.billing.example has 2 instances in namespace shop, and its deletion would delete all of them, without asking anybody. Its finalizers were not removed: without them it would go, and the instances stay behind where nobody sees them. Let the instances go first. If it must go all the same: holdfast approve customresourcedefinitions.apiextensions.k8s.io plans.billing.example --operation strip-finalizers --reason TEXT. See all: holdfast explain customresourcedefinitions.apiextensions.k8s.io plans.billing.example",
		},
		"namespace": {
			resource: profile.NamespaceResource(), object: clustered("Namespace", "shop"), user: "eve",
			want: "namespace shop holds 1 guarded object: plan shop/gold (in use by subscription mall/a). Its finalizers were not removed: without them it would go, and what it holds stay behind where nobody sees it. Let that go first. If it must go all the same: holdfast approve namespaces shop --operation strip-finalizers --reason TEXT. See all: holdfast explain namespaces shop",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guarded, ok := set.Subject(tc.resource, tc.object.GetName())
			if !ok {
				t.Fatal("not guarded")
			}
			rule := Finalizers{Operators: stand{state: OperatorState{Users: []string{billingOperator}}}, Profiles: set, Use: []Rule{inUse, crd, namespace}}
			got, err := rule.Check(t.Context(), Request{Guarded: guarded, Old: tc.object, New: tc.object, User: tc.user})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Message); diff != "" || !got.Denied || got.Rule != "finalizers" {
				t.Errorf("%+v (-want +got):\n%s", got, diff)
			}
		})
	}
}

func clustered(kind, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{"name": name, "uid": "u-1"}}}
}
