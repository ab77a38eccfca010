// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

func TestStoredRevisions(t *testing.T) {
	t.Parallel()
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	revision := func(number, spec any) map[string]any { return map[string]any{"generation": number, "spec": spec} }
	type read struct {
		Number string
		Spec   any
		Err    string
	}
	tests := map[string]struct {
		encoding  v1alpha1.RevisionEncoding
		revisions any
		want      []read
	}{
		"none":  {},
		"empty": {revisions: []any{}},
		"two, in their order": {
			revisions: []any{revision(int64(3), encode(`{"size":3}`)), revision("1", encode(`{"size":1}`))},
			want:      []read{{Number: "3", Spec: map[string]any{"size": int64(3)}}, {Number: "1", Spec: map[string]any{"size": int64(1)}}},
		},
		"in place": {
			encoding:  v1alpha1.EncodingJSON,
			revisions: []any{revision(int64(3), map[string]any{"size": int64(3)})},
			want:      []read{{Number: "3", Spec: map[string]any{"size": int64(3)}}},
		},
		"in place, but no object": {
			encoding: v1alpha1.EncodingJSON, revisions: []any{revision(int64(3), "x")}, want: []read{{Number: "3", Err: "not an object"}},
		},
		"one of them unreadable": {
			revisions: []any{revision(int64(1), "%"), revision(int64(2), encode(`{}`))},
			want:      []read{{Number: "1", Err: "revision 1: decode stored spec"}, {Number: "2", Spec: map[string]any{}}},
		},
		"no JSON inside":     {revisions: []any{revision(int64(1), encode("{"))}, want: []read{{Number: "1", Err: "decode stored spec"}}},
		"null inside":        {revisions: []any{revision(int64(1), encode("null"))}, want: []read{{Number: "1", Err: "it is empty"}}},
		"no spec":            {revisions: []any{map[string]any{"generation": int64(1)}}, want: []read{{Number: "1", Err: "not a text"}}},
		"no number":          {revisions: []any{map[string]any{"spec": encode("{}")}}, want: []read{{Err: "has no number"}}},
		"number is odd":      {revisions: []any{revision(map[string]any{}, encode("{}"))}, want: []read{{Err: "the number"}}},
		"revision is a text": {revisions: []any{"x"}, want: []read{{Err: "not an object"}}},
		"history is a text":  {revisions: "x", want: []read{{Err: "{.status.revisions[*]}"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored := &v1alpha1.StoredRevisions{Path: "{.status.revisions[*]}", Number: "{.generation}", Spec: "{.spec}", Encoding: tc.encoding}
			if stored.Encoding == "" {
				stored.Encoding = v1alpha1.EncodingBase64JSON
			}
			revisions, err := newStoredRevisions(stored)
			if err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a"}, "spec": map[string]any{"size": int64(9)}}}
			if tc.revisions != nil {
				object.Object["status"] = map[string]any{"revisions": tc.revisions}
			}
			var got []read
			for _, r := range revisions.Of(object) {
				one := read{Number: r.Number}
				if r.Err != nil {
					one.Err = r.Err.Error()
				} else {
					one.Spec = r.Object.Object["spec"]
					if r.Object.GetName() != "a" {
						t.Errorf("revision %s has lost the name", r.Number)
					}
				}
				got = append(got, one)
			}
			holds := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Err" },
				cmp.Comparer(func(a, b string) bool {
					return (a == "") == (b == "") && (strings.Contains(a, b) || strings.Contains(b, a))
				}))
			if diff := cmp.Diff(tc.want, got, holds); diff != "" {
				t.Errorf("revisions (-want +got):\n%s", diff)
			}
		})
	}
}
