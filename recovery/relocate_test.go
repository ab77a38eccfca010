// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWhatMovesTakesItsReferencesAlong(t *testing.T) {
	object := func(namespace, moving string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"namespace": namespace, "name": "a"},
			"spec": map[string]any{
				"ref":  map[string]any{"name": "moving", "namespace": moving},
				"list": []any{map[string]any{"name": "moving", "namespace": moving}, map[string]any{"name": "staying", "namespace": "old"}},
				"far":  map[string]any{"name": "moving", "namespace": "elsewhere"},
			},
		}}
	}
	got := object("old", "old")
	relocate(got, "new", func(namespace, name string) bool { return namespace == "old" && name == "moving" })
	if diff := cmp.Diff(object("new", "new"), got); diff != "" {
		t.Error(diff)
	}
}
