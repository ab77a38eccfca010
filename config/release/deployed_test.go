// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStored(t *testing.T) {
	t.Parallel()
	const before = `{"name":"astarte","info":{"status":"uninstalling","deleted":"2026-01-01T00:00:00Z","description":"Deletion in progress","notes":"n"},"version":9007199254740993,"unknown":{"kept":true}}`
	data := packed(t, before)
	revision, ok := Read(secret(2, "uninstalling", data))
	if !ok {
		t.Fatal("not a revision")
	}
	stored, err := revision.Stored(Deployed, "back")
	if err != nil {
		t.Fatal(err)
	}
	again, ok := Read(stored)
	if !ok || again.Status != Deployed || again.Number != 2 || again.Key != revision.Key {
		t.Fatalf("stored as %+v", stored)
	}
	plain, err := again.Record()
	if err != nil {
		t.Fatal(err)
	}
	// The large number tells that nothing went through a float.
	want := `{"info":{"description":"back","notes":"n","status":"deployed"},"name":"astarte","unknown":{"kept":true},"version":9007199254740993}`
	if diff := cmp.Diff(want, string(plain)); diff != "" {
		t.Error(diff)
	}

	same, err := revision.Stored(Uninstalling, "back")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(data, same.Data["release"]); diff != "" {
		t.Errorf("what need not change did: %s", diff)
	}
	if same.ResourceVersion != "" || same.UID != "" {
		t.Error("it cannot be created so")
	}
}

func TestStoredDamaged(t *testing.T) {
	t.Parallel()
	for name, record := range map[string]string{"no JSON": "}", "no info": `{"name":"a"}`} {
		revision, _ := Read(secret(1, "failed", packed(t, record)))
		if _, err := revision.Stored(Deployed, "back"); err == nil || !strings.Contains(err.Error(), `revision 1 of Helm release "operators/astarte"`) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}
