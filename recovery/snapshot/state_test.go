// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// stateOf is what the list and the snapshot itself say of id, which must agree.
func (f *fixture) stateOf(t *testing.T, id string) snapshot.Record {
	t.Helper()
	records, err := f.List(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := f.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.ID != id {
			continue
		}
		if r.State != snapshot.StateSuperseded && r.State != snap.State || r.Bypass != snap.Bypass {
			t.Errorf("the list says %q, bypass %v; the snapshot %q, bypass %v", r.State, r.Bypass, snap.State, snap.Bypass)
		}
		return r
	}
	t.Fatalf("%s is not listed", id)
	return snapshot.Record{}
}

func TestFirstState(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		p    snapshot.Provenance
		want snapshot.State
	}{
		"before a delete":             {snapshot.Provenance{Operation: "delete"}, "attempted"},
		"before an undo":              {snapshot.Provenance{Operation: "undo"}, "attempted"},
		"before its finalizers go":    {snapshot.Provenance{Operation: "strip-finalizers"}, "attempted"},
		"because it changed":          {snapshot.Provenance{Operation: "change"}, "kept"},
		"because somebody asked":      {snapshot.Provenance{Operation: "snapshot"}, "kept"},
		"after it went unseen":        {snapshot.Provenance{Operation: "change", State: "deleted", Bypass: true}, "deleted"},
		"without any known operation": {snapshot.Provenance{}, "kept"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			record := f.save(t, tier(t), tc.p)
			got := f.stateOf(t, record.ID)
			if got.State != tc.want || got.Bypass != tc.p.Bypass || !got.StateAt.Equal(f.now) {
				t.Errorf("state %q, bypass %v, since %s; want %q", got.State, got.Bypass, got.StateAt, tc.want)
			}
		})
	}
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// What each state becomes when it is told each other one.
	for from, becomes := range map[snapshot.State]string{
		"attempted":  "attempted deleted kept superseded restored",
		"kept":       "attempted deleted kept superseded restored",
		"superseded": "attempted deleted kept superseded restored",
		"deleted":    "deleted deleted deleted deleted restored",
		"restored":   "restored restored restored restored restored",
	} {
		for i, told := range []snapshot.State{"attempted", "deleted", "kept", "superseded", "restored"} {
			record := f.save(t, named(string(from+told)), snapshot.Provenance{State: from})
			f.now = f.now.Add(time.Minute)
			got, err := f.SetState(t.Context(), record.ID, told, false)
			want := snapshot.State(strings.Fields(becomes)[i])
			if err != nil || got.State != want {
				t.Errorf("%s told %s: %s, %v; want %s", from, told, got.State, err, want)
			}
			if diff := cmp.Diff(got, f.stateOf(t, record.ID)); diff != "" {
				t.Errorf("%s told %s (-returned +listed):\n%s", from, told, diff)
			}
		}
	}
}

func TestSavedAgainIsAttemptedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for was, want := range map[snapshot.State]snapshot.State{
		"kept": "attempted", "superseded": "attempted", "attempted": "attempted",
		// A late retry of the delete does not bring back what is gone.
		"deleted": "deleted", "restored": "restored",
	} {
		record := f.save(t, named(string(was)), snapshot.Provenance{Operation: "change"})
		if _, err := f.SetState(t.Context(), record.ID, was, was == "deleted"); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(time.Minute)
		again := f.save(t, named(string(was)), snapshot.Provenance{Operation: "delete", User: "alice"})
		if got := f.stateOf(t, record.ID); got.State != want || again.State != want || got.Bypass != (was == "deleted") || got.LastBy() != "alice" {
			t.Errorf("%s: %s, saving said %s, bypass %v, by %s; want %s", was, got.State, again.State, got.Bypass, got.LastBy(), want)
		}
	}
}

func TestLaterVersionSupersedes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	version := func(a int64) *unstructured.Unstructured {
		obj := named("x")
		obj.Object["spec"] = map[string]any{"a": a}
		return obj
	}
	save := func(obj *unstructured.Unstructured) string {
		f.now = f.now.Add(time.Minute)
		return f.save(t, obj, snapshot.Provenance{Operation: "change"}).ID
	}
	expect := func(want map[string]snapshot.State) {
		t.Helper()
		got := map[string]snapshot.State{}
		for id := range want {
			got[id] = f.stateOf(t, id).State
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	}
	first, other := save(version(1)), save(named("other"))
	second := save(version(2))
	expect(map[string]snapshot.State{first: "superseded", second: "kept", other: "kept"})
	// Its content goes back to what it was.
	if again := save(version(1)); again != first {
		t.Fatalf("saved again as %s, want %s", again, first)
	}
	expect(map[string]snapshot.State{first: "kept", second: "superseded", other: "kept"})
	// What is known for certain is not hidden by it.
	if _, err := f.SetState(t.Context(), second, snapshot.StateRestored, false); err != nil {
		t.Fatal(err)
	}
	expect(map[string]snapshot.State{first: "kept", second: "restored"})
}

func TestRecoveryRestores(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record := f.save(t, tier(t), snapshot.Provenance{Operation: "delete", State: "deleted"})
	for phase, want := range map[snapshot.Phase]snapshot.State{"started": "deleted", "created": "deleted"} {
		if err := f.SetJournal(t.Context(), record.ID, snapshot.Journal{Operation: "restore", Phase: phase}); err != nil {
			t.Fatal(err)
		}
		if got := f.stateOf(t, record.ID).State; got != want {
			t.Errorf("phase %s: state %s, want %s", phase, got, want)
		}
	}
	if err := f.SetJournal(t.Context(), record.ID, snapshot.Journal{Operation: "restore", Phase: "done"}); err != nil {
		t.Fatal(err)
	}
	if got := f.stateOf(t, record.ID).State; got != "restored" {
		t.Errorf("done: state %s", got)
	}
}

func TestStateOfEarlierSnapshots(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	attempted := f.save(t, named("a"), snapshot.Provenance{Operation: "delete"}).ID
	restored := f.save(t, named("b"), snapshot.Provenance{Operation: "delete"}).ID
	if err := f.SetJournal(t.Context(), restored, snapshot.Journal{Phase: "done"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{attempted, restored} {
		secret := f.secretOf(t, id)
		delete(secret.Annotations, "holdfast.dev/snapshot-state")
		f.update(t, secret)
	}
	for id, want := range map[string]snapshot.State{attempted: "attempted", restored: "restored"} {
		if got := f.stateOf(t, id).State; got != want {
			t.Errorf("state %s, want %s", got, want)
		}
	}
}

func TestSetStateFaults(t *testing.T) {
	t.Parallel()
	gr := schema.GroupResource{Resource: "secrets"}
	for name, tc := range map[string]struct {
		id    string
		state snapshot.State
		verb  string
		fail  error
		times int
		want  string
	}{
		"no such snapshot":        {id: "aaaaaaaaaaaaaaaa", state: "kept", want: "no such snapshot"},
		"no ID":                   {id: "../x", state: "kept", want: "no such snapshot"},
		"no state":                {state: "gone", want: `unknown state "gone"`},
		"cannot be read":          {state: "kept", verb: "get", fail: errors.New("boom"), times: 9, want: "boom"},
		"cannot be written":       {state: "kept", verb: "patch", fail: errors.New("boom"), times: 9, want: "boom"},
		"somebody else is faster": {state: "kept", verb: "patch", fail: apierrors.NewConflict(gr, "x", nil), times: 2},
		"a storm of conflicts":    {state: "kept", verb: "patch", fail: apierrors.NewConflict(gr, "x", nil), times: 99, want: "gave up after"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			record := f.save(t, tier(t), snapshot.Provenance{Operation: "delete"})
			if tc.id == "" {
				tc.id = record.ID
			}
			left := tc.times
			f.meta.PrependReactor(tc.verb, "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
				left--
				return left >= 0, nil, tc.fail
			})
			got, err := f.SetState(t.Context(), tc.id, tc.state, false)
			if tc.want == "" {
				if err != nil || got.State != tc.state {
					t.Errorf("state %s, %v", got.State, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}
