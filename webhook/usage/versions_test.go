// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// nameLine asks a world for versions alone.
type nameLine struct {
	metadata.Interface
	metadata.Getter
	line line
}

func (n nameLine) Resource(gvr schema.GroupVersionResource) metadata.Getter {
	n.line.gr = gvr.GroupResource()
	return n
}

func (n nameLine) List(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	opts.FieldSelector = versionsOnly // so that the world's record tells them apart
	full, err := n.line.List(ctx, opts)
	if err != nil {
		return nil, err
	}
	list := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: full.GetResourceVersion(), Continue: full.GetContinue()}}
	for _, o := range full.Items {
		list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: o.GetNamespace(), Name: o.GetName(), ResourceVersion: o.GetResourceVersion(),
		}})
	}
	return list, nil
}

const versionsOnly = "versions only"

// The objects of a small kind are read only when one of them is not known in
// the version that it has.
func TestProofByVersions(t *testing.T) {
	t.Parallel()
	target := guard.Target{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "a", Name: "t"}
	free := func(name string) *unstructured.Unstructured {
		return object("Database", "a", name, tierRef("other", ""))
	}
	for name, tc := range map[string]struct {
		change func(w *world)
		want   int
		read   bool
	}{
		"nothing has changed":        {func(*world) {}, 1, false},
		"another kind has":           {func(w *world) { w.put("helmfeatures", object("HelmFeature", "a", "f", nil)) }, 1, false},
		"one has come":               {func(w *world) { w.put("databases", object("Database", "a", "late", tierRef("t", ""))) }, 2, true},
		"one has gone":               {func(w *world) { w.remove("databases", objectName{"a", "user"}) }, 0, true},
		"one names another now":      {func(w *world) { w.put("databases", free("user")) }, 0, true},
		"one names it now":           {func(w *world) { w.put("databases", object("Database", "a", "free", tierRef("t", ""))) }, 2, true},
		"one has come, another gone": {func(w *world) { w.remove("databases", objectName{"a", "user"}); w.put("databases", free("late")) }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, h := newWorld(), newHang()
			w.put("databases", object("Database", "a", "user", tierRef("t", "")))
			w.put("databases", free("free"))
			i := newIndexOf(t, w, h)
			settle(t, i, w)
			h.set(true) // the stream tells nothing any more
			tc.change(w)
			w.mu.Lock()
			w.lists = nil
			w.mu.Unlock()
			f := i.feeds[resource("databases")]
			if _, err := f.prove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if k := f.known(); k.applied != w.now() {
				t.Errorf("known up to %d, want %d", k.applied, w.now())
			}
			var read []metav1.ListOptions
			for _, opts := range w.lists {
				if opts.FieldSelector != versionsOnly {
					read = append(read, opts)
				}
			}
			if (len(read) > 0) != tc.read || len(w.lists) == len(read) {
				t.Errorf("listed with %+v, want the objects read: %t", w.lists, tc.read)
			}
			for _, opts := range read {
				if opts.ResourceVersionMatch != metav1.ResourceVersionMatchNotOlderThan || opts.ResourceVersion == "" {
					t.Errorf("listed with %+v, which waits once more", opts)
				}
			}
			if use, err := i.Of(t.Context(), target, -1); err != nil || use.Total != tc.want {
				t.Errorf("Of() = %+v, %v, want %d", use, err, tc.want)
			}
		})
	}
}

// A page that is full shows nothing of what comes after it.
func TestVersionsOfMoreThanAPage(t *testing.T) {
	t.Parallel()
	w, h := newWorld(), newHang()
	for n := range pageSize {
		w.put("databases", object("Database", "a", fmt.Sprintf("free-%03d", n), tierRef("other", "")))
	}
	i := newIndexOf(t, w, h)
	settle(t, i, w)
	h.set(true)
	w.put("databases", object("Database", "z", "last", tierRef("t", "a")))
	use, err := i.Of(t.Context(), guard.Target{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "a", Name: "t"}, -1)
	if err != nil || use.Total != 1 {
		t.Errorf("Of() = %+v, %v, want the last one", use, err)
	}
}

// What was known before the kind was read anew counts for nothing.
func TestVersionsOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld()
	i := newIndexOf(t, w, newHang())
	settle(t, i, w)
	f := i.feeds[resource("databases")]
	k := f.known()
	k.epoch--
	if found, err := f.versions(t.Context(), f.proving(k.kind), k); !errors.Is(err, errChanged) {
		t.Errorf("got %+v, %v, want %v", found, err, errChanged)
	}
}
