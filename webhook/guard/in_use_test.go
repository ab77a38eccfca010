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

func nuodb(t *testing.T) *profile.Set {
	t.Helper()
	p, err := profile.Builtin("nuodb")
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func cpResource(resource string) schema.GroupResource {
	return schema.GroupResource{Group: "cp.nuodb.com", Resource: resource}
}

func referrer(kind, resource, name string) Referrer {
	return Referrer{Resource: cpResource(resource), Kind: kind, Namespace: "ns", Name: name, Path: "{.spec.ref}"}
}

func terminating(r Referrer) Referrer {
	r.Terminating = true
	return r
}

// uses answers by the name of the target.
func uses(by map[string]Use) UsageFunc {
	return func(_ context.Context, target Target, limit int) (Use, error) {
		use := by[target.Name]
		if limit >= 0 && len(use.First) > limit {
			use.First = use.First[:limit]
		}
		return use, nil
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	db := referrer("Database", "databases", "db")
	domain := referrer("Domain", "domains", "dom")
	tier := referrer("ServiceTier", "servicetiers", "tier")
	held := tier
	held.Stored, held.PinnedBy = "3", "database ns/pinned"
	tests := map[string]struct {
		reason   string
		resource string
		kind     string
		usage    Usage
		want     Verdict
		wantErr  bool
	}{
		"nobody": {
			resource: "servicetiers", kind: "ServiceTier",
			usage: uses(nil),
		},
		"by an older revision": {
			reason:   "only who pins that revision matters, not who uses the tier as it is",
			resource: "helmfeatures", kind: "HelmFeature",
			usage: uses(map[string]Use{"x": {Total: 1, First: []Referrer{held}}, "tier": {Total: 1, First: []Referrer{db}}}),
			want: Verdict{
				Denied: true, Rule: "in-use",
				Message: "helmfeature ns/x is in use by 1 object: servicetier ns/tier (revision 3, pinned by database ns/pinned). It was not deleted. First point it to another helmfeature, or delete it, then delete again (a moment later, if you just did). If it must go all the same: holdfast approve helmfeatures.cp.nuodb.com x -n ns --reason TEXT. See all: holdfast explain helmfeatures.cp.nuodb.com x -n ns",
				Causes:  []Cause{{Object: "servicetier ns/tier", Field: "{.spec.ref}"}},
			},
		},
		"one": {
			resource: "servicetiers", kind: "ServiceTier",
			usage: uses(map[string]Use{"x": {Total: 1, First: []Referrer{db}}}),
			want: Verdict{
				Denied: true, Rule: "in-use",
				Message: "servicetier ns/x is in use by 1 object: database ns/db. It was not deleted. First point it to another servicetier, or delete it, then delete again (a moment later, if you just did). If it must go all the same: holdfast approve servicetiers.cp.nuodb.com x -n ns --reason TEXT. See all: holdfast explain servicetiers.cp.nuodb.com x -n ns",
				Causes:  []Cause{{Object: "database ns/db", Field: "{.spec.ref}"}},
			},
		},
		"many": {
			reason:   "three are named, the rest is counted",
			resource: "servicetiers", kind: "ServiceTier",
			usage: uses(map[string]Use{"x": {Total: 102, First: []Referrer{db, domain, domain, domain}}}),
			want: Verdict{
				Denied: true, Rule: "in-use",
				Message: "servicetier ns/x is in use by 102 objects: database ns/db, domain ns/dom, domain ns/dom and 99 more. It was not deleted. First point them to another servicetier, or delete them, then delete again (a moment later, if you just did). If it must go all the same: holdfast approve servicetiers.cp.nuodb.com x -n ns --reason TEXT. See all: holdfast explain servicetiers.cp.nuodb.com x -n ns",
				Causes:  []Cause{{Object: "database ns/db", Field: "{.spec.ref}"}, {Object: "domain ns/dom", Field: "{.spec.ref}"}, {Object: "domain ns/dom", Field: "{.spec.ref}"}},
			},
		},
		"through another guarded object": {
			reason:   "the chain goes down to the databases",
			resource: "helmfeatures", kind: "HelmFeature",
			usage: uses(map[string]Use{"x": {Total: 1, First: []Referrer{tier}}, "tier": {Total: 2, First: []Referrer{db, domain}}}),
			want: Verdict{
				Denied: true, Rule: "in-use",
				Message: "helmfeature ns/x is in use by 1 object: servicetier ns/tier (in use by database ns/db, domain ns/dom). It was not deleted. First point it to another helmfeature, or delete it, then delete again (a moment later, if you just did). If it must go all the same: holdfast approve helmfeatures.cp.nuodb.com x -n ns --reason TEXT. See all: holdfast explain helmfeatures.cp.nuodb.com x -n ns",
				Causes:  []Cause{{Object: "servicetier ns/tier", Field: "{.spec.ref}"}},
			},
		},
		"chain not known": {
			reason:   "the refusal stands without its explanation",
			resource: "helmfeatures", kind: "HelmFeature",
			usage: UsageFunc(func(_ context.Context, target Target, _ int) (Use, error) {
				if target.Name == "tier" {
					return Use{}, errors.New("no answer")
				}
				return Use{Total: 1, First: []Referrer{tier}}, nil
			}),
			want: Verdict{
				Denied: true, Rule: "in-use",
				Message: "helmfeature ns/x is in use by 1 object: servicetier ns/tier. It was not deleted. First point it to another helmfeature, or delete it, then delete again (a moment later, if you just did). If it must go all the same: holdfast approve helmfeatures.cp.nuodb.com x -n ns --reason TEXT. See all: holdfast explain helmfeatures.cp.nuodb.com x -n ns",
				Causes:  []Cause{{Object: "servicetier ns/tier", Field: "{.spec.ref}"}},
			},
		},
		"only by what is being deleted": {
			reason:   "it may still be needed for their clean-up; the hint is to wait",
			resource: "servicetiers", kind: "ServiceTier",
			usage: uses(map[string]Use{"x": {Total: 1, Terminating: 1, First: []Referrer{terminating(db)}}}),
			want: Verdict{
				Denied: true, Rule: "in-use",
				Message: "servicetier ns/x is in use by 1 object: database ns/db (being deleted). It was not deleted. Deletion of it is under way: wait until that is done, then delete again. If it must go all the same: holdfast approve servicetiers.cp.nuodb.com x -n ns --reason TEXT. See all: holdfast explain servicetiers.cp.nuodb.com x -n ns",
				Causes:  []Cause{{Object: "database ns/db", Field: "{.spec.ref}"}},
			},
		},
		"not known": {
			resource: "servicetiers", kind: "ServiceTier",
			usage:   UsageFunc(func(context.Context, Target, int) (Use, error) { return Use{}, errors.New("no answer") }),
			wantErr: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := nuodb(t)
			guarded, _ := set.Guarded(cpResource(tc.resource))
			old := &unstructured.Unstructured{}
			old.SetKind(tc.kind)
			old.SetNamespace("ns")
			old.SetName("x")
			got, err := InUse{Usage: tc.usage, Profiles: set}.Check(t.Context(), Request{Guarded: guarded, Old: old})
			if (err != nil) != tc.wantErr {
				t.Fatalf("Check() error = %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}

// Tiers that name each other would make an endless message.
func TestInUseCycle(t *testing.T) {
	t.Parallel()
	p, err := profile.Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: x}\nspec:\n  resources:\n  - resource: servicetiers.cp.nuodb.com\n    referencedBy: [{resource: servicetiers.cp.nuodb.com, path: '{.spec.ref}'}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(p...)
	if err != nil {
		t.Fatal(err)
	}
	guarded, _ := set.Guarded(cpResource("servicetiers"))
	a, b := referrer("ServiceTier", "servicetiers", "a"), referrer("ServiceTier", "servicetiers", "b")
	old := &unstructured.Unstructured{}
	old.SetKind("ServiceTier")
	old.SetName("a")
	old.SetNamespace("ns")
	usage := uses(map[string]Use{"a": {Total: 1, First: []Referrer{b}}, "b": {Total: 1, First: []Referrer{a}}})
	got, err := InUse{Usage: usage, Profiles: set}.Check(t.Context(), Request{Guarded: guarded, Old: old})
	if err != nil || !got.Denied || len(got.Message) > 600 {
		t.Errorf("Check() = %+v, %v", got, err)
	}
}
