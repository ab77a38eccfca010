// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

// keep saves an object of a resource.
func keep(t *testing.T, store *snapshot.Store, gr schema.GroupResource, obj map[string]any) {
	t.Helper()
	if _, err := store.Save(t.Context(), gr, &unstructured.Unstructured{Object: obj}, snapshot.Provenance{Operation: "delete"}); err != nil {
		t.Fatal(err)
	}
}

func newStore(t *testing.T) *snapshot.Store {
	t.Helper()
	kube, meta := snapshottest.Clients(t.Context())
	store, err := snapshot.NewStore(kube, meta, "holdfast-system", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func definition(version string, shortNames ...any) map[string]any {
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "oxen.farm.example", "uid": "d-" + version},
		"spec": map[string]any{
			"group": "farm.example",
			"names": map[string]any{"plural": "oxen", "singular": "ox", "kind": "Bovine", "shortNames": shortNames},
		},
	}
}

func TestWordsForWhatTheClusterDoesNotHave(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	crds := schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
	keep(t, store, crds, definition("1", "o"))
	keep(t, store, schema.GroupResource{Group: "farm.example", Resource: "oxen"}, map[string]any{
		"apiVersion": "farm.example/v1", "kind": "Bovine", "metadata": map[string]any{"name": "one", "namespace": "ns", "uid": "u-1"},
	})
	keep(t, store, schema.GroupResource{Group: "mill.example", Resource: "oxen"}, map[string]any{
		"apiVersion": "mill.example/v2", "kind": "Ox", "metadata": map[string]any{"name": "two", "namespace": "ns", "uid": "u-2"},
	})
	for word, want := range map[string]string{
		"oxen":                 "[oxen.farm.example oxen.mill.example]",
		"Oxen.farm.example":    "[oxen.farm.example]",
		"oxen.farm":            "[oxen.farm.example]",
		"oxen.v9.farm.example": "[oxen.farm.example]",
		"bovine":               "[oxen.farm.example]",
		"Ox":                   "[oxen.mill.example]", // a kind that is saved is meant before a name in a definition
		"ox.farm.example":      "[oxen.farm.example]",
		"o":                    "[oxen.farm.example]",
		"o.farm.example":       "[oxen.farm.example]",
		"oxen.barn.example":    "[]",
		"x":                    "[]",
		"":                     "[]",
	} {
		called, all, err := savedResources(t.Context(), store, word)
		if got := fmt.Sprint(called); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", word, got, err, want)
		}
		if len(all) != 3 {
			t.Errorf("%q: of all saved resources: %v", word, all)
		}
	}
}

func TestAWordForNothing(t *testing.T) {
	t.Parallel()
	unknown := usagef(`the cluster has no resource "tier"`)
	if err := unknownResource(nil, unknown); !errors.Is(err, unknown) {
		t.Errorf("with nothing saved: %v", err)
	}
	var saved []schema.GroupResource
	for i := range 7 {
		saved = append(saved, schema.GroupResource{Group: "g", Resource: fmt.Sprint("r", i)})
	}
	err := unknownResource(saved, unknown)
	want := `the cluster has no resource "tier"; nor is anything saved under that name (short names are known only of saved definitions): there are snapshots of r0.g, r1.g, r2.g, r3.g, r4.g and 2 more`
	if err.Error() != want || exitCode(err) != exitUsage {
		t.Errorf("%v, code %d, want %s", err, exitCode(err), want)
	}
}
