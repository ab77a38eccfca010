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

	"github.com/holdfast-dev/holdfast/config/profile"
)

func parseGR(text string) schema.GroupResource { return schema.ParseGroupResource(text) }

// held answers with objects by the plural of their resource.
func held(names map[string][]string, broken ...string) ContentsFunc {
	return func(_ context.Context, namespace string, g *profile.Guarded) ([]*unstructured.Unstructured, error) {
		var objects []*unstructured.Unstructured
		for _, name := range names[g.Resource.Resource] {
			kind := strings.TrimSuffix(g.Resource.Resource, "s")
			objects = append(objects, &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}}})
		}
		for _, b := range broken {
			if b == g.Resource.Resource {
				return nil, errors.New("no answer")
			}
		}
		return objects, nil
	}
}

func TestNamespace(t *testing.T) {
	t.Parallel()
	set := profiles(t, whole)
	user := Referrer{Resource: parseGR("subscriptions.billing.example"), Kind: "Subscription", Namespace: "mall", Name: "acme"}
	used := uses(map[string]Use{"gold": {Total: 3, First: []Referrer{user}}, "silver": {Total: 1, First: []Referrer{user}}})
	const explain = " If it must go all the same: holdfast approve namespaces shop --reason TEXT. See all: holdfast explain namespaces shop"
	tests := map[string]struct {
		reason   string
		kind     string
		contents Contents
		usage    Usage
		want     Verdict
		wantErr  bool
	}{
		"empty":                 {contents: held(nil)},
		"unused":                {contents: held(map[string][]string{"plans": {"free"}})},
		"never":                 {reason: "its profile says so", contents: held(map[string][]string{"notes": {"n"}})},
		"never, and unreadable": {reason: "nobody asks", contents: held(nil, "notes")},
		"used": {
			contents: held(map[string][]string{"plans": {"free", "gold"}}),
			want: Verdict{
				Denied: true, Rule: "namespace", Mode: "enforce",
				Message: "namespace shop holds 1 guarded object: plan shop/gold (in use by subscription mall/acme and 2 more). It was not deleted, and nothing in it was touched. First delete or move it, or what uses it, then delete it again." + explain,
				Causes:  []Cause{{Object: "plan shop/gold", Field: "subscription mall/acme and 2 more"}},
			},
		},
		"several": {
			contents: held(map[string][]string{"plans": {"gold", "silver"}, "regions": {"r1", "r2"}, "drafts": {"d"}}),
			want: Verdict{
				Denied: true, Rule: "namespace", Mode: "enforce",
				Message: "namespace shop holds 4 guarded objects: plan shop/gold (in use by subscription mall/acme and 2 more), plan shop/silver (in use by subscription mall/acme), region shop/r1 and 1 more. It was not deleted, and nothing in it was touched. First delete or move them, or what uses them, then delete it again." + explain,
				Causes: []Cause{
					{Object: "plan shop/gold", Field: "subscription mall/acme and 2 more"},
					{Object: "plan shop/silver", Field: "subscription mall/acme"},
					{Object: "region shop/r1"},
				},
			},
		},
		"only what is audited": {
			contents: held(map[string][]string{"drafts": {"d"}}),
			want: Verdict{
				Denied: true, Rule: "namespace", Mode: "audit",
				Message: "namespace shop holds 1 guarded object: draft shop/d. It was not deleted, and nothing in it was touched. First delete or move it, or what uses it, then delete it again." + explain,
				Causes:  []Cause{{Object: "draft shop/d"}},
			},
		},
		"lookup fault": {contents: held(nil, "plans"), wantErr: true},
		"lookup fault of a user": {
			contents: held(map[string][]string{"plans": {"gold"}}), wantErr: true,
			usage: UsageFunc(func(context.Context, Target, int) (Use, error) { return Use{}, errors.New("no answer") }),
		},
		"lookup fault beside what is certain": {
			contents: held(map[string][]string{"regions": {"r1"}}, "plans"),
			want: Verdict{
				Denied: true, Rule: "namespace", Mode: "enforce",
				Message: "namespace shop holds 1 guarded object: region shop/r1. It was not deleted, and nothing in it was touched. First delete or move it, or what uses it, then delete it again." + explain,
				Causes:  []Cause{{Object: "region shop/r1"}},
			},
		},
		"lookup fault beside what is audited": {
			reason:   "what is let pass must not let pass what is not known",
			contents: held(map[string][]string{"drafts": {"d"}}, "plans"), wantErr: true,
		},
		"lookup fault of what is audited": {
			contents: held(nil, "drafts"),
			want:     Verdict{Denied: true, Rule: "namespace", Mode: "audit", Message: "could not decide whether namespace shop may be deleted: list drafts.billing.example in namespace shop: no answer"},
		},
		"another kind": {kind: "Plan", contents: held(map[string][]string{"regions": {"r1"}})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind, usage := tc.kind, tc.usage
			if kind == "" {
				kind = "Namespace"
			}
			if usage == nil {
				usage = used
			}
			rule := Namespace{Contents: tc.contents, InUse: InUse{Usage: usage, Profiles: set}, Profiles: set}
			got, err := rule.Check(t.Context(), deletion(t, set, kind, "shop"))
			if (err != nil) != tc.wantErr {
				t.Fatalf("Check() error = %v (%s)", err, tc.reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("verdict (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}
