// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// history is n versions of the object uid called x, the newest first and a day
// apart, each with a footprint of 4 KiB. IDs are UID and age in days.
func history(now time.Time, uid string, n int, change ...func(r *snapshot.Record)) []snapshot.Record {
	var records []snapshot.Record
	for i := range n {
		r := snapshot.Record{
			ID: fmt.Sprintf("%s-%d", uid, i), Resource: "things.example", Name: "x", UID: types.UID(uid),
			SavedAt: now.Add(-24 * time.Hour * time.Duration(i)), Stored: 2 << 10, State: snapshot.StateKept,
		}
		for _, c := range change {
			c(&r)
		}
		records = append(records, r)
	}
	return records
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	set := func(id string, change func(r *snapshot.Record)) func(r *snapshot.Record) {
		return func(r *snapshot.Record) {
			if r.ID == id {
				change(r)
			}
		}
	}
	for name, tc := range map[string]struct {
		policy  snapshot.Policy
		records []snapshot.Record
		held    map[string]string
		want    string
		over    int64
	}{
		"nothing is limited":    {records: history(now, "a", 30)},
		"versions":              {policy: snapshot.Policy{Versions: 2}, records: history(now, "a", 4), want: "a-3 a-2"},
		"as many as allowed":    {policy: snapshot.Policy{Versions: 4}, records: history(now, "a", 4)},
		"age":                   {policy: snapshot.Policy{Age: 36 * time.Hour}, records: history(now, "a", 4), want: "a-3 a-2"},
		"the last one is kept":  {policy: snapshot.Policy{Age: time.Hour, Versions: 1, Bytes: 1}, records: history(now.Add(-90*day), "a", 3), want: "a-2 a-1", over: 4<<10 - 1},
		"bytes take the oldest": {policy: snapshot.Policy{Bytes: 8 << 10}, records: history(now, "a", 4), want: "a-3 a-2"},
		"bytes of all together": {
			policy:  snapshot.Policy{Bytes: 12 << 10},
			records: append(history(now, "a", 3), history(now.Add(-10*day), "b", 3, func(r *snapshot.Record) { r.Name = "y" })...),
			want:    "b-2 b-1 a-2",
		},
		"of each UID the last one": {
			// Made again by mistake and changed often: what was there before stays.
			policy:  snapshot.Policy{Versions: 2},
			records: append(history(now, "new", 3), history(now.Add(-10*day), "old", 3)...),
			want:    "old-2 old-1 new-2",
		},
		"what lives on as another is not needed any more": {
			policy:  snapshot.Policy{Versions: 2},
			records: append(history(now, "new", 2), history(now.Add(-10*day), "old", 1, func(r *snapshot.Record) { r.State = snapshot.StateRestored })...),
			want:    "old-0",
		},
		"restored and not saved since": {
			policy:  snapshot.Policy{Age: time.Hour},
			records: history(now.Add(-10*day), "old", 1, func(r *snapshot.Record) { r.State = snapshot.StateRestored }),
		},
		"noted in another order than decided": {
			// A request about an earlier state was noted later: both may be the last.
			policy: snapshot.Policy{Versions: 1},
			records: history(now, "a", 4,
				set("a-0", func(r *snapshot.Record) { r.ResourceVersion = "9" }), set("a-1", func(r *snapshot.Record) { r.ResourceVersion = "8" }),
				set("a-2", func(r *snapshot.Record) { r.ResourceVersion = "10" }), set("a-3", func(r *snapshot.Record) { r.ResourceVersion = "7" })),
			want: "a-3 a-1",
		},
		"as it was once, again": {
			policy: snapshot.Policy{Versions: 1},
			records: history(now, "a", 3, set("a-0", func(r *snapshot.Record) { r.ResourceVersion = "9" }), set("a-1", func(r *snapshot.Record) { r.ResourceVersion = "10" }),
				set("a-2", func(r *snapshot.Record) {
					r.ResourceVersion, r.LastAttempt = "8", &snapshot.Attempt{ResourceVersion: "11"}
				})),
			want: "a-1",
		},
		"pinned": {
			policy:  snapshot.Policy{Versions: 1},
			records: history(now, "a", 3, set("a-2", func(r *snapshot.Record) { r.Pin = &snapshot.Pin{} })),
			want:    "a-1",
		},
		"a recovery runs": {
			policy:  snapshot.Policy{Versions: 1},
			records: history(now, "a", 3, set("a-2", func(r *snapshot.Record) { r.Journal = &snapshot.Journal{Phase: snapshot.PhaseCreated} })),
			want:    "a-1",
		},
		"a recovery ended": {
			policy:  snapshot.Policy{Versions: 1},
			records: history(now, "a", 3, set("a-2", func(r *snapshot.Record) { r.Journal = &snapshot.Journal{Phase: snapshot.PhaseDone} })),
			want:    "a-2 a-1",
		},
		"somebody needs it": {
			policy: snapshot.Policy{Versions: 1}, records: history(now, "a", 3), held: map[string]string{"a-1": "part of a set"},
			want: "a-2",
		},
		"unreadable": {
			policy:  snapshot.Policy{Age: time.Hour, Versions: 1, Bytes: 1},
			records: []snapshot.Record{{ID: "?", Problem: "its annotations cannot be read"}},
			over:    2<<10 - 1,
		},
		"used lately": {
			policy: snapshot.Policy{Age: 36 * time.Hour},
			records: history(now, "a", 3, set("a-0", func(r *snapshot.Record) {
				r.SavedAt, r.LastAttempt = now.Add(-90*day), &snapshot.Attempt{At: now}
			})),
			want: "a-2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := tc.policy.Apply(tc.records, tc.held, now)
			var ids []string
			for _, r := range out.Remove {
				ids = append(ids, r.ID)
				if r.Why == "" {
					t.Errorf("no reason for %s", r.ID)
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(ids, " ")); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
			if out.Count != len(tc.records)-len(ids) || out.Over != tc.over {
				t.Errorf("%d stay, %d bytes over; want %d, %d", out.Count, out.Over, len(tc.records)-len(ids), tc.over)
			}
			var bytes int64
			for _, r := range tc.records {
				bytes += r.Footprint()
			}
			for _, r := range out.Remove {
				bytes -= r.Footprint()
			}
			if out.Bytes != bytes {
				t.Errorf("%d bytes stay, want %d", out.Bytes, bytes)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, "x", nil)
	for name, tc := range map[string]struct {
		before func(t *testing.T, f *fixture, r *snapshot.Record)
		fail   error
		want   error
	}{
		"is removed":        {},
		"is gone already":   {before: func(_ *testing.T, _ *fixture, r *snapshot.Record) { r.ID = "aaaaaaaaaaaaaaaa" }},
		"changed meanwhile": {fail: conflict, want: snapshot.ErrInUse},
		"a recovery began": {before: func(t *testing.T, f *fixture, r *snapshot.Record) {
			t.Helper()
			if err := f.SetJournal(t.Context(), r.ID, snapshot.Journal{Phase: snapshot.PhaseStarted}); err != nil {
				t.Fatal(err)
			}
		}, want: snapshot.ErrInUse},
		"was pinned": {before: func(t *testing.T, f *fixture, r *snapshot.Record) {
			t.Helper()
			if err := f.SetPin(t.Context(), r.ID, &snapshot.Pin{Reason: "mine"}); err != nil {
				t.Fatal(err)
			}
		}, want: snapshot.ErrInUse},
		"was saved again": {before: func(t *testing.T, f *fixture, _ *snapshot.Record) {
			t.Helper()
			f.now = f.now.Add(time.Second)
			f.save(t, large(), snapshot.Provenance{User: "bob"})
		}, want: snapshot.ErrInUse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			record := f.save(t, large(), snapshot.Provenance{})
			kept := record.ID
			if tc.before != nil {
				tc.before(t, f, &record)
			}
			if tc.fail != nil {
				f.meta.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, tc.fail })
			}
			if err := f.Remove(t.Context(), record); !errors.Is(err, tc.want) {
				t.Errorf("Remove: %v, want %v", err, tc.want)
			}
			_, err := f.Get(t.Context(), kept)
			if removed := name == "is removed"; removed != errors.Is(err, snapshot.ErrNotFound) || removed != (len(f.chunks(t)) == 0) {
				t.Errorf("afterwards: %v, %d parts", err, len(f.chunks(t)))
			}
		})
	}
}

// Retention takes a version away at the very moment when it is saved again.
func TestSaveRacesRemove(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, obj := range []*unstructured.Unstructured{named("small"), large()} {
		record := f.save(t, obj, snapshot.Provenance{})
		raced := false
		f.meta.PrependReactor("patch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			if !raced {
				raced = true
				// Not by Remove: the fake answers one request at a time.
				for _, name := range append(record.Chunks, "holdfast-snapshot-"+record.ID) {
					if err := f.kube.CoreV1().Secrets(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
						t.Errorf("remove it: %v", err)
					}
				}
			}
			return false, nil, nil
		})
		// By another replica, which finds out by writing that it is there.
		other, err := snapshot.NewStore(f.kube, f.meta, namespace, func() time.Time { return f.now })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Save(t.Context(), tiers, obj, snapshot.Provenance{User: "bob"}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Get(t.Context(), record.ID); err != nil || !raced {
			t.Errorf("%s: saved again, but %v; raced %v", obj.GetName(), err, raced)
		}
	}
}

func TestPin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record := f.save(t, tier(t), snapshot.Provenance{})
	if err := f.SetPin(t.Context(), record.ID, &snapshot.Pin{User: "alice", Reason: "audit"}); err != nil {
		t.Fatal(err)
	}
	want := &snapshot.Pin{User: "alice", Reason: "audit", At: f.now}
	if diff := cmp.Diff(want, f.stateOf(t, record.ID).Pin); diff != "" {
		t.Errorf("pin (-want +got):\n%s", diff)
	}
	secret := f.secretOf(t, record.ID)
	secret.Annotations["holdfast.dev/pin"] = "by hand"
	f.update(t, secret)
	if f.stateOf(t, record.ID).Pin == nil {
		t.Error("a pin set by hand does not count")
	}
	if err := f.SetPin(t.Context(), record.ID, nil); err != nil || f.stateOf(t, record.ID).Pin != nil {
		t.Errorf("the pin stays: %v", err)
	}
	if err := f.SetPin(t.Context(), "aaaaaaaaaaaaaaaa", nil); !errors.Is(err, snapshot.ErrNotFound) {
		t.Errorf("pin of nothing: %v", err)
	}
}
