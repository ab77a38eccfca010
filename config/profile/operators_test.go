// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

const withOperators = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: billing}
spec:
  mode: warn
  resources: [{resource: plans.billing.example}, {resource: configmaps}]
  operators:
  - release:
      ofCRDs: [plans.billing.example]
      objects: [{resource: deployments.apps, namespace: ops, name: billing}]
    serviceAccounts: [{namespace: ops, name: helper}]
    requiredFor: [plans.billing.example]
    denyDeletes: [{resource: persistentvolumeclaims, namePrefix: 'data-{.metadata.name}-'}, {resource: secrets}]
  - serviceAccounts: [{namespace: ops, name: other}]
    requiredFor: [configmaps.]
`

func parsedSet(t *testing.T, text string) *Set {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(p...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestOperators(t *testing.T) {
	t.Parallel()
	set := parsedSet(t, withOperators)
	all := set.OperatorsOf("billing")
	if len(all) != 2 || len(set.Operators()) != 2 || len(set.OperatorsOf("other")) != 0 {
		t.Fatalf("operators: %+v", all)
	}
	op := all[0]
	if op.Profile != "billing" || op.Mode != v1alpha1.ModeWarn || len(op.OfCRDs) != 1 || len(op.Objects) != 1 || len(op.ServiceAccounts) != 1 || len(op.DenyDeletes) != 2 {
		t.Errorf("operator: %+v", op)
	}
	for resource, want := range map[string]*Operator{"plans.billing.example": all[0], "configmaps": all[1]} {
		got := set.RequiredFor(schema.ParseGroupResource(resource))
		if len(got) != 1 || got[0] != want {
			t.Errorf("required for %s: %+v", resource, got)
		}
	}
	if got := set.RequiredFor(schema.ParseGroupResource("secrets")); len(got) != 0 {
		t.Errorf("required for secrets: %+v", got)
	}
	for object, want := range map[string]bool{
		"persistentvolumeclaims/data-gold-0": true, "persistentvolumeclaims/gold-data": false, "secrets/any": true, "services/any": false,
	} {
		resource, name, _ := strings.Cut(object, "/")
		g, ok := set.Subject(schema.ParseGroupResource(resource), name)
		if ok != want {
			t.Errorf("%s: guarded %v, want %v", object, ok, want)
		}
		if ok && (g.Mode != v1alpha1.ModeWarn || g.Snapshot != v1alpha1.SnapshotNone || g.Profile != "billing") {
			t.Errorf("%s: %+v", object, g)
		}
	}
}

func TestOperatorsOfTheAstarteProfile(t *testing.T) {
	t.Parallel()
	p, err := Builtin("astarte")
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range set.Resources() {
		if len(set.RequiredFor(g.Resource)) != 1 {
			t.Errorf("%s goes without an operator", g.Resource)
		}
	}
	claims := schema.ParseGroupResource("persistentvolumeclaims")
	if _, ok := set.Subject(claims, "astarte-cassandra-data-astarte-cassandra-0"); !ok {
		t.Error("the operator may delete the data of Cassandra")
	}
	if _, ok := set.Subject(claims, "astarte-vernemq-data-astarte-vernemq-0"); ok {
		t.Error("the operator may not delete what can be made anew")
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	object := map[string]any{"metadata": map[string]any{"name": "gold", "empty": ""}, "n": int64(1), "two": []any{"a", "b"}}
	tests := map[string]struct {
		text, want string
		bad, empty bool // cannot be parsed, cannot be filled in
	}{
		"constant":        {text: "data-", want: "data-"},
		"none":            {},
		"path":            {text: "{.metadata.name}", want: "gold"},
		"among text":      {text: "a-{.metadata.name}-b-{.metadata.name}", want: "a-gold-b-gold"},
		"absent":          {text: "{.spec.x}-a", empty: true},
		"empty text":      {text: "{.metadata.empty}-a", empty: true},
		"no text":         {text: "{.n}", empty: true},
		"several":         {text: "{.two[*]}", empty: true},
		"not closed":      {text: "a-{.metadata.name", bad: true},
		"not opened":      {text: "a-}{.metadata.name}", bad: true},
		"closed twice":    {text: "{.metadata.name}}", bad: true},
		"no path":         {text: "{}", bad: true},
		"an unknown path": {text: "{name}", bad: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsed, err := ParseTemplate(tc.text)
			if (err != nil) != tc.bad {
				t.Fatalf("ParseTemplate: %v", err)
			}
			if tc.bad {
				return
			}
			got, err := parsed.Fill(object)
			if (err != nil) != tc.empty {
				t.Fatalf("Fill: %v", err)
			}
			if got != tc.want || parsed.String() != tc.text {
				t.Errorf("%q, written as %q; want %q", got, parsed.String(), tc.want)
			}
		})
	}
}

func TestOperatorsValidate(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: b}\nspec:\n  resources: [{resource: plans.billing.example}]\n  operators:\n  - "
	for text, want := range map[string]string{
		"requiredFor: [invoices.billing.example]":                          "spec.operators[0].requiredFor[0]",
		"denyDeletes: [{resource: pods, namePrefix: 'a{.x'}]":              "spec.operators[0].denyDeletes[0].namePrefix",
		"denyDeletes: [{resource: pods, namePrefix: \"a' || true || '\"}]": "spec.operators[0].denyDeletes[0].namePrefix",
		"serviceAccounts: [{name: a}]":                                     "spec.operators[0].serviceAccounts[0].namespace",
	} {
		if _, err := Parse([]byte(head + text + "\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one at %s", text, err, want)
		}
	}
	for text, want := range map[string][]string{"data-{.metadata.name}-": {"data-", "-"}, "a": {"a"}, "": nil} {
		parsed, err := ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, parsed.Texts()); diff != "" {
			t.Errorf("texts of %q (-want +got):\n%s", text, diff)
		}
	}
}
