// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// FuzzParse reads anything as profiles. What is found good must be usable: it
// makes a set, and the same one each time.
func FuzzParse(f *testing.F) {
	for _, name := range BuiltinNames() {
		text, err := builtin.ReadFile("builtin/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		"", "---", "null", "[]", "a: [", "apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\n",
		"apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: a}\nspec: {resources: [{resource: secrets, referencedBy: [{resource: pods., path: '{..x[?(@.a==\"b\")]}'}]}]}\n",
		"apiVersion: holdfast.dev/v1alpha1\nkind: GuardProfile\nmetadata: {name: a}\nspec: {resources: [&x {resource: secrets}, *x]}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		profiles, err := Parse(data)
		if err != nil {
			if err.Error() == "" || len(profiles) > 0 {
				t.Errorf("error %q with %d profiles", err, len(profiles))
			}
			return
		}
		set, err := NewSet(profiles...)
		if err != nil {
			return // two that do not go together
		}
		again, err := NewSet(profiles...)
		if err != nil || again.Digest() != set.Digest() {
			t.Errorf("digests %q and %q, %v", set.Digest(), again.Digest(), err)
		}
		for _, g := range set.Resources() {
			if g.Resource.Resource == "" || g.Mode == "" || g.Snapshot == "" {
				t.Errorf("guarded resource without a name or a default: %+v", g)
			}
		}
	})
}

// FuzzPath reads anything at any path of any object: the path may be wrong, and
// the object may have any shape.
func FuzzPath(f *testing.F) {
	for _, path := range []string{
		"{.spec.type.tierRef}", "{.spec.features[*]}", "{..name}", "{.a[0:2]}", "{.a[-1]}", "{.a['b','c']}", "{.a[?(@.b>1)].c}", "{.a[?(@.b=~\"x\")]}",
		"{range .a[*]}{end}", "{.a[::-1]}", "{@}", "{$}", "{.a[99999999999]}", "{[}", "{.*}", "{..}",
	} {
		for _, object := range []string{`{"spec":{"type":{"tierRef":{"name":"a","revision":7}}}}`, `{"spec":{"features":[{"name":"a"},"b",null,5,[]]}}`, `{"a":[1,{"b":2}]}`, `{"a":{"b":{"name":{}}}}`, `{}`} {
			f.Add(path, []byte(object))
		}
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		var object map[string]any
		if json.Unmarshal(data, &object) != nil || object == nil {
			return
		}
		path, err := ParsePath(text)
		if err != nil {
			return
		}
		first, firstErr := path.Find(object)
		second, secondErr := path.Find(object)
		if (firstErr == nil) != (secondErr == nil) || len(first) != len(second) {
			t.Errorf("the second look finds something else: %v (%v), %v (%v)", first, firstErr, second, secondErr)
		}
		hits, err := Reference{Resource: schema.GroupResource{Resource: "pods"}, Path: path}.Hits(&unstructured.Unstructured{Object: object})
		for _, hit := range hits {
			if hit.Name == "" {
				t.Errorf("a hit without a name, %v", err)
			}
		}
	})
}
