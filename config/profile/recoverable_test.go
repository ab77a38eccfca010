// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func TestRecoverable(t *testing.T) {
	t.Parallel()
	const embedded = "its Cassandra runs inside it (spec.cassandra.deploy is not false), so the data of all its realms would go with it"
	no := Recoverability{Recovery: "no", Because: []string{embedded}}
	yes := Recoverability{Recovery: "yes"}
	builtin, err := Builtin("astarte")
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(builtin)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		reason   string
		resource string
		object   string
		want     Recoverability
	}{
		"v1alpha1, said":                   {object: "{apiVersion: api.astarte-platform.org/v1alpha1, spec: {cassandra: {deploy: true}}}", want: no},
		"v1alpha2, not said":               {reason: "absent means true", object: "{apiVersion: api.astarte-platform.org/v1alpha2, spec: {cassandra: {storage: {}}}}", want: no},
		"v1alpha3, without the section":    {object: "{apiVersion: api.astarte-platform.org/v1alpha3, spec: {}}", want: no},
		"v1alpha3, without a spec":         {object: "{apiVersion: api.astarte-platform.org/v1alpha3}", want: no},
		"null":                             {object: "{apiVersion: api.astarte-platform.org/v1alpha2, spec: {cassandra: {deploy: null}}}", want: no},
		"elsewhere":                        {object: "{apiVersion: api.astarte-platform.org/v1alpha2, spec: {cassandra: {deploy: false}}}", want: yes},
		"elsewhere, v1alpha1":              {object: "{apiVersion: api.astarte-platform.org/v1alpha1, spec: {cassandra: {deploy: false}}}", want: yes},
		"v2alpha1":                         {reason: "it has no embedded one", object: "{apiVersion: api.astarte-platform.org/v2alpha1, spec: {cassandra: {}}}", want: yes},
		"a resource that has no condition": {resource: "flows.api.astarte-platform.org", object: "{apiVersion: api.astarte-platform.org/v1alpha2}", want: Recoverability{Recovery: "yes"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var object map[string]any
			if err := yaml.Unmarshal([]byte(tc.object), &object); err != nil {
				t.Fatal(err)
			}
			if tc.resource == "" {
				tc.resource = "astartes.api.astarte-platform.org"
			}
			guarded, ok := set.Guarded(schema.ParseGroupResource(tc.resource))
			if !ok {
				t.Fatalf("%s is not guarded", tc.resource)
			}
			got, err := guarded.Recoverable(&unstructured.Unstructured{Object: object})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("recoverability (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}

// What cannot be evaluated must not look like a yes.
func TestRecoverableFaults(t *testing.T) {
	t.Parallel()
	for name, unless := range map[string]string{
		"a field that is not there": "object.spec.gone == true",
		"no condition":              "object.kind",
		"an endless one":            "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, a+b+c+d+e+f > 0))))))",
	} {
		parsed, err := Parse([]byte("apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: b}\nspec:\n  resources:\n  - {resource: plans.billing.example, recoverable: [{unless: '" + unless + "', because: it is}]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		set, err := NewSet(parsed...)
		if err != nil {
			t.Fatal(err)
		}
		guarded, _ := set.Guarded(schema.ParseGroupResource("plans.billing.example"))
		got, err := guarded.Recoverable(&unstructured.Unstructured{Object: map[string]any{"kind": "Plan", "spec": map[string]any{}}})
		if err == nil {
			t.Errorf("%s: %+v, and no error", name, got)
		}
	}
}

func TestRecoverabilityInWords(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Recoverability{
		"yes":               {Recovery: "yes"},
		"no, because a; b":  Recoverability{Recovery: "no", Because: []string{"a"}}.With([]string{"b"}),
		"partly, because b": Recoverability{Recovery: "yes"}.With([]string{"b"}),
		"no, because a":     Recoverability{Recovery: "no", Because: []string{"a"}}.With(nil),
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
