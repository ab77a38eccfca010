// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestHits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path    string
		object  string
		want    []Hit
		wantErr string
	}{
		"namespace given":        {path: "{.spec.ref}", object: "spec: {ref: {name: a, namespace: other}}", want: []Hit{{Namespace: "other", Name: "a"}}},
		"namespace defaulted":    {path: "{.spec.ref}", object: "spec: {ref: {name: a}}", want: []Hit{{Namespace: "ns", Name: "a"}}},
		"empty namespace":        {path: "{.spec.ref}", object: "spec: {ref: {name: a, namespace: ''}}", want: []Hit{{Namespace: "ns", Name: "a"}}},
		"pinned":                 {path: "{.spec.ref}", object: "spec: {ref: {name: a, revision: '7'}}", want: []Hit{{Namespace: "ns", Name: "a", Revision: "7"}}},
		"pinned by a number":     {path: "{.spec.ref}", object: "spec: {ref: {name: a, revision: 7}}", want: []Hit{{Namespace: "ns", Name: "a", Revision: "7"}}},
		"a string is the name":   {path: "{.spec.ref}", object: "spec: {ref: a}", want: []Hit{{Namespace: "ns", Name: "a"}}},
		"every item of a list":   {path: "{.spec.refs[*]}", object: "spec: {refs: [{name: a}, b, {name: c, namespace: d}]}", want: []Hit{{Namespace: "ns", Name: "a"}, {Namespace: "ns", Name: "b"}, {Namespace: "d", Name: "c"}}},
		"absent":                 {path: "{.spec.ref}", object: "spec: {}"},
		"parent absent":          {path: "{.spec.type.ref.over[*]}", object: "spec: {}"},
		"null":                   {path: "{.spec.ref}", object: "spec: {ref: null}"},
		"null list":              {path: "{.spec.refs[*]}", object: "spec: {refs: null}"},
		"null item":              {path: "{.spec.refs[*]}", object: "spec: {refs: [null, a]}", want: []Hit{{Namespace: "ns", Name: "a"}}},
		"empty name":             {path: "{.spec.ref}", object: "spec: {ref: {name: ''}}"},
		"no name":                {path: "{.spec.ref}", object: "spec: {ref: {namespace: x}}"},
		"a number":               {path: "{.spec.ref}", object: "spec: {ref: 5}", wantErr: "int64"},
		"name is an object":      {path: "{.spec.ref}", object: "spec: {ref: {name: {}}}", wantErr: "name of the reference"},
		"list without [*]":       {path: "{.spec.refs}", object: "spec: {refs: [a]}", wantErr: "[*]"},
		"[*] on something else":  {path: "{.spec.refs[*]}", object: "spec: {refs: a}", wantErr: "{.spec.refs[*]}"},
		"filter":                 {path: "{.spec.refs[?(@.kind=='Plan')]}", object: "spec: {refs: [{kind: Plan, name: a}, {kind: Other, name: b}]}", want: []Hit{{Namespace: "ns", Name: "a"}}},
		"path through a string":  {path: "{.spec.ref.name}", object: "spec: {ref: a}"},
		"only this field counts": {path: "{.spec.ref}", object: "spec: {other: {name: a}}"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, err := ParsePath(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			referrer := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(tc.object), &referrer.Object); err != nil {
				t.Fatal(err)
			}
			referrer.Object = normalise(referrer.Object).(map[string]any)
			referrer.SetNamespace("ns")
			got, err := Reference{Path: path}.Hits(referrer)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("Hits() error = %v, want it to hold %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("hits (-want +got):\n%s", diff)
			}
		})
	}
}

// normalise turns the numbers of a YAML decoder into those of the API's JSON decoder.
func normalise(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normalise(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normalise(v[i])
		}
	case float64:
		return int64(v)
	}
	return v
}

func TestHitNames(t *testing.T) {
	t.Parallel()
	hit := Hit{Namespace: "ns", Name: "a"}
	for name, tc := range map[string]struct {
		namespace, name string
		want            bool
	}{
		"the same":                   {"ns", "a", true},
		"another namespace":          {"other", "a", false},
		"another name":               {"ns", "b", false},
		"cluster-scoped target":      {"", "a", true},
		"cluster-scoped, other name": {"", "b", false},
	} {
		if got := hit.Names(tc.namespace, tc.name); got != tc.want {
			t.Errorf("%s: Names(%q, %q) = %v", name, tc.namespace, tc.name, got)
		}
	}
}

// A path is used by many admission requests at once; run with -race to see.
func TestPathConcurrently(t *testing.T) {
	t.Parallel()
	path, err := ParsePath("{.items[*].name}")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 8)
	for range 8 {
		go func() {
			for range 200 {
				got, err := path.Find(map[string]any{"items": []any{map[string]any{"name": "a"}, map[string]any{"name": "b"}}})
				if err == nil && len(got) != 2 {
					err = fmt.Errorf("found %v", got)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
