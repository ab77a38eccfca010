// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestApplySets(t *testing.T) {
	t.Parallel()
	// Newest first; c is complete, p is not.
	sets := func(text string) []snapshot.SetRecord {
		var all []snapshot.SetRecord
		for _, id := range strings.Fields(text) {
			root, rest, _ := strings.Cut(id, "-")
			all = append(all, snapshot.SetRecord{ID: id, UID: types.UID(root), Root: "root of " + id, Complete: strings.HasPrefix(rest, "c")})
		}
		return all
	}
	pinned := []snapshot.Record{
		{ID: "root of d-c4", Pin: &snapshot.Pin{}},
		{ID: "root of d-c5", Journal: &snapshot.Journal{Phase: snapshot.PhaseStarted}},
		{ID: "root of d-c6", Journal: &snapshot.Journal{Phase: snapshot.PhaseDone}},
	}
	for text, want := range map[string]string{
		"a-c1 a-c2 a-c3 b-c1":      "a-c1 a-c2 b-c1",
		"a-p1 a-p2 a-p3 a-c4 a-c5": "a-p1 a-p2 a-c4",
		"a-p1 a-p2 a-p3":           "a-p1 a-p2",
		// Of one a recovery is under way, one is pinned.
		"d-c1 d-c2 d-c3 d-c4 d-c5 d-c6": "d-c1 d-c2 d-c4 d-c5",
	} {
		keep, remove := snapshot.Policy{Versions: 2}.ApplySets(sets(text), pinned)
		var ids []string
		for _, s := range keep {
			ids = append(ids, s.ID)
		}
		if diff := cmp.Diff(want, strings.Join(ids, " ")); diff != "" || len(keep)+len(remove) != len(strings.Fields(text)) {
			t.Errorf("of %s stay (-want +got):\n%s", text, diff)
		}
	}
	if _, remove := (snapshot.Policy{}).ApplySets(sets("a-c1 a-c2 a-c3"), nil); len(remove) != 0 {
		t.Errorf("without a bound, %d go", len(remove))
	}
}

func TestSetsHoldTheirMembers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root, member := f.save(t, named("root"), snapshot.Provenance{}), f.save(t, named("member"), snapshot.Provenance{})
	of := func(members ...snapshot.Record) snapshot.SetRecord {
		f.now = f.now.Add(time.Minute)
		var list []snapshot.SetMember
		for _, m := range members {
			list = append(list, snapshot.SetMember{Resource: m.Resource, Namespace: m.Namespace, Name: m.Name, UID: m.UID, Snapshot: m.ID})
		}
		record, err := f.SaveSet(t.Context(), snapshot.NewSet(tiers, snapshot.SetRecord{Namespace: "ns", Name: "root", UID: root.UID, Complete: true}, list), snapshot.SetRecord{})
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	whole := of(root, member)
	held, err := f.HeldBy(t.Context(), []snapshot.SetRecord{whole, {ID: "aaaaaaaaaaaaaaaa"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{root.ID: "part of set " + whole.ID, member.ID: "part of set " + whole.ID}
	if diff := cmp.Diff(want, held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	alone := of(root)
	of(root, member) // holds again, after it was listed
	if err := f.RemoveSet(t.Context(), whole); !errors.Is(err, snapshot.ErrInUse) {
		t.Errorf("a set that holds again: %v", err)
	}
	for range 2 { // the second time it is gone
		if err := f.RemoveSet(t.Context(), alone); err != nil {
			t.Error(err)
		}
	}
	if sets, err := f.Sets(t.Context(), snapshot.Filter{}); err != nil || len(sets) != 1 || sets[0].ID != whole.ID {
		t.Errorf("sets %v, %v", sets, err)
	}
}
