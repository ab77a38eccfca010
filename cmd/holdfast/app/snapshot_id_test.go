// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestAnIDOfNothing(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	oxen := schema.GroupResource{Group: "farm.example", Resource: "oxen"}
	record, err := store.Save(t.Context(), oxen, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "farm.example/v1", "kind": "Ox", "metadata": map[string]any{"name": "one", "uid": "u-1"},
	}}, snapshot.Provenance{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := store.SaveSet(t.Context(), snapshot.NewSet(oxen, snapshot.SetRecord{Name: "one", UID: "u-1"}, []snapshot.SetMember{{Resource: "oxen.farm.example", Name: "one", UID: "u-1", Snapshot: record.ID}}), snapshot.SetRecord{})
	if err != nil {
		t.Fatal(err)
	}
	const nothing = "aaaaaaaaaaaaaaaa"
	missing := fmt.Errorf("%w: %q", snapshot.ErrNotFound, nothing)
	for name, tc := range map[string]struct {
		err  error
		code int
		want string
	}{
		"no snapshot":                {unknownSnapshot(t.Context(), store, missing, nothing), 2, `no such snapshot: "aaaaaaaaaaaaaaaa"; 'holdfast recovery list' shows those there are`},
		"a set, among others":        {unknownSnapshot(t.Context(), store, missing, nothing, set.ID), 2, set.ID + " is the ID of a set, not of a snapshot: 'holdfast recovery restore --set " + set.ID + "' brings it back, and 'holdfast recovery list' shows the snapshots there are"},
		"another error":              {unknownSnapshot(t.Context(), store, errors.New("boom"), set.ID), 1, "boom"},
		"no set":                     {unknownSet(t.Context(), store, missing, nothing), 2, `no such snapshot: "aaaaaaaaaaaaaaaa"; 'holdfast recovery list --sets' shows those there are`},
		"a snapshot":                 {unknownSet(t.Context(), store, missing, record.ID), 2, record.ID + " is the ID of a snapshot, not of a set: 'holdfast recovery restore " + record.ID + "' brings it back, and 'holdfast recovery list --sets' shows the sets there are"},
		"another error of a set":     {unknownSet(t.Context(), store, errors.New("boom"), record.ID), 1, "boom"},
		"what is no ID":              {second(setID("nosuch")), 2, `"nosuch" is not the ID of a set; 'holdfast recovery list --sets' shows them`},
		"an object instead of an ID": {oneID(nil, []string{"tier", "t"}), 1, `"tier" is not the ID of a snapshot; 'holdfast recovery list tier t' shows those of that object`},
	} {
		if tc.err == nil || tc.err.Error() != tc.want || exitCode(tc.err) != tc.code {
			t.Errorf("%s: %v (exit code %d), want %q", name, tc.err, exitCode(tc.err), tc.want)
		}
	}
}

func second(_ namedSnapshot, err error) error { return err }
