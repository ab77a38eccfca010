// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What is only counted for a fence keeps no namespace.
func TestHolds(t *testing.T) {
	t.Parallel()
	h := &Holders{kinds: map[schema.GroupResource]*heldKind{
		{Resource: "tiers"}:  {holds: true, objects: map[string]int{"a": 1}},
		{Resource: "quotas"}: {objects: map[string]int{"b": 1, "": 2}},
		{Resource: "plans"}:  {holds: true, objects: map[string]int{"": 3}},
	}}
	for namespace, want := range map[string]bool{"a": true, "b": false, "c": false, "": false} {
		if got := h.holds(namespace); got != want {
			t.Errorf("namespace %q: got %t, want %t", namespace, got, want)
		}
	}
}
