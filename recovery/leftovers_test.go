// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestReferencesThatTheGarbageCollectorWouldFollow(t *testing.T) {
	t.Parallel()
	object := func(uid types.UID) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		o.SetUID(uid)
		return o
	}
	ref := func(version, kind, name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: version, Kind: kind, Name: name, UID: uid}
	}
	for name, tc := range map[string]struct {
		ref   metav1.OwnerReference
		owner *unstructured.Unstructured // that is there
		place string
		want  bool
	}{
		"to the saved owner, which is gone":                  {ref("a.example/v1", "Shelf", "one", "saved"), nil, "here", true},
		"to the saved owner, in whose place another is":      {ref("a.example/v1", "Shelf", "one", "saved"), object("new"), "here", true},
		"to the saved owner, which is there":                 {ref("a.example/v1", "Shelf", "one", "saved"), object("saved"), "here", false},
		"to the one that is there now":                       {ref("a.example/v1", "Shelf", "one", "new"), object("new"), "here", false},
		"to one that an earlier restore made, and gone":      {ref("a.example/v2", "Shelf", "one", "between"), nil, "here", true},
		"to another name":                                    {ref("a.example/v1", "Shelf", "two", "other"), nil, "here", false},
		"to another kind":                                    {ref("a.example/v1", "Rack", "one", "other"), nil, "here", false},
		"to another group":                                   {ref("b.example/v1", "Shelf", "one", "other"), nil, "here", false},
		"in another namespace, where there may be another":   {ref("a.example/v1", "Shelf", "one", "other"), nil, "elsewhere", false},
		"to something that nothing can be said about at all": {ref("a/b/c", "Shelf", "one", "other"), nil, "here", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner := &Item{
				Resource: "shelves.a.example", Namespace: "here", Name: "one", uid: "saved", before: tc.owner,
				snap: &snapshot.Snapshot{Record: snapshot.Record{Kind: "Shelf"}},
			}
			left := object("left")
			left.SetOwnerReferences([]metav1.OwnerReference{tc.ref})
			item := &Item{Resource: "configmaps", Namespace: tc.place, Name: "part", before: left, snap: &snapshot.Snapshot{}}
			if err := (&Recovery{}).findLeftovers(t.Context(), &Plan{Items: []*Item{owner, item}}, nil); err != nil {
				t.Fatal(err)
			}
			if got := slices.Equal(item.dead, []types.UID{tc.ref.UID}); got != tc.want {
				t.Errorf("dead = %v, want %t", item.dead, tc.want)
			}
		})
	}
}
