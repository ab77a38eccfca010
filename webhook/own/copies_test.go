// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package own

import (
	"context"
	"errors"
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
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

var plans = schema.GroupResource{Group: "billing.example", Resource: "plans"}

// kinds resolves plans, unless told otherwise.
type kinds struct {
	absent bool
	err    error
}

func (k *kinds) Resolve(_ context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	return gr.WithVersion("v1"), !k.absent, k.err
}

// world is a store and what is there of its objects.
type world struct {
	*Copies
	now   time.Time
	kinds *kinds
	live  map[string]types.UID // by name
	err   error                // of asking for one
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), kinds: &kinds{}, live: map[string]types.UID{}}
	kube, meta := snapshottest.Clients(t.Context())
	meta.PrependReactor("get", "plans", func(action clienttesting.Action) (bool, runtime.Object, error) {
		name := action.(clienttesting.GetAction).GetName()
		uid, ok := w.live[name]
		if w.err != nil || !ok {
			return true, nil, errors.Join(w.err, apierrors.NewNotFound(plans, name))
		}
		return true, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid}}, nil
	})
	store, err := snapshot.NewStore(kube, meta, "holdfast-system", func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	w.Copies = &Copies{Snapshots: store, Metadata: meta, Kinds: w.kinds}
	return w
}

// save saves version of the plan called name and returns its Secret's metadata.
func (w *world) save(t *testing.T, name string, uid types.UID, version int64) *unstructured.Unstructured {
	t.Helper()
	w.now = w.now.Add(time.Minute)
	plan := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "billing.example/v1", "kind": "Plan", "spec": version,
		"metadata": map[string]any{"name": name, "namespace": "shop", "uid": string(uid)},
	}}
	record, err := w.Snapshots.Save(t.Context(), plans, plan, snapshot.Provenance{Operation: "delete"})
	if err != nil {
		t.Fatal(err)
	}
	return secretNamed("holdfast-snapshot-" + record.ID)
}

func secretNamed(name string) *unstructured.Unstructured {
	secret := &unstructured.Unstructured{Object: map[string]any{}}
	secret.SetName(name)
	return secret
}

func id(secret *unstructured.Unstructured) string {
	return strings.TrimPrefix(secret.GetName(), "holdfast-snapshot-")
}

func TestLast(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		setUp   func(t *testing.T, w *world) *unstructured.Unstructured
		want    bool
		wantErr string
	}{
		"of an object that is gone": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			return w.save(t, "gold", "u-1", 1)
		}, want: true},
		"of an object that is there": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			w.live["gold"] = "u-1"
			return w.save(t, "gold", "u-1", 1)
		}},
		"of an object whose name another bears": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			w.live["gold"] = "u-2"
			return w.save(t, "gold", "u-1", 1)
		}, want: true},
		"an older version": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			older := w.save(t, "gold", "u-1", 1)
			w.save(t, "gold", "u-1", 2)
			return older
		}},
		"brought back": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			w.live["gold"] = "u-2"
			secret := w.save(t, "gold", "u-1", 1)
			if err := w.Snapshots.SetJournal(t.Context(), id(secret), snapshot.Journal{Phase: snapshot.PhaseDone, NewUID: "u-2"}); err != nil {
				t.Fatal(err)
			}
			return secret
		}},
		"brought back and gone again": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			secret := w.save(t, "gold", "u-1", 1)
			if err := w.Snapshots.SetJournal(t.Context(), id(secret), snapshot.Journal{Phase: snapshot.PhaseDone, NewUID: "u-2"}); err != nil {
				t.Fatal(err)
			}
			return secret
		}, want: true},
		"its kind is gone": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			w.kinds.absent = true
			return w.save(t, "gold", "u-1", 1)
		}, want: true},
		"known to be gone, and nobody to ask": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			secret := w.save(t, "gold", "u-1", 1)
			if _, err := w.Snapshots.SetState(t.Context(), id(secret), snapshot.StateDeleted, false); err != nil {
				t.Fatal(err)
			}
			w.kinds.err = errors.New("boom")
			return secret
		}, want: true},
		"nobody to ask": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			w.kinds.err = errors.New("boom")
			return w.save(t, "gold", "u-1", 1)
		}, wantErr: "boom"},
		"the rest of a torn write": {setUp: func(*testing.T, *world) *unstructured.Unstructured {
			return secretNamed("holdfast-chunk-aaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb")
		}},
		"a part of it": {setUp: func(t *testing.T, w *world) *unstructured.Unstructured {
			t.Helper()
			return secretNamed("holdfast-chunk-" + id(w.save(t, "gold", "u-1", 1)) + "-bbbbbbbbbbbbbbbb")
		}, want: true},
		"something else": {setUp: func(*testing.T, *world) *unstructured.Unstructured { return secretNamed("holdfast-digest-key") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			kept, last, err := w.Last(t.Context(), tc.setUp(t, w))
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if last != tc.want {
				t.Errorf("last: %v, want %v", last, tc.want)
			}
			if last && kept.Of.String() != "plan shop/gold" {
				t.Errorf("of %s", kept.Of)
			}
		})
	}
}

func TestAllLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.save(t, name, types.UID("u-"+name), 1)
		w.save(t, name, types.UID("u-"+name), 2)
	}
	w.live["d"] = "u-d"
	names := func(most int) (all []string, more bool) {
		t.Helper()
		first, more, err := w.AllLast(t.Context(), most)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range first {
			all = append(all, c.Of.Name)
		}
		return all, more
	}
	for most, want := range map[int][]string{2: {"c", "b"}, 3: {"c", "b", "a"}} {
		got, more := names(most)
		if diff := cmp.Diff(want, got); diff != "" || more != (most == 2) {
			t.Errorf("first %d, more %v (-want +got):\n%s", most, more, diff)
		}
	}
	// What is gone for sure comes first, and is enough whoever can be asked.
	records, err := w.Snapshots.List(t.Context(), snapshot.Filter{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	w.kinds.err = errors.New("boom")
	if _, err := w.Snapshots.SetState(t.Context(), records[0].ID, snapshot.StateDeleted, true); err != nil {
		t.Fatal(err)
	}
	if got, _ := names(3); cmp.Diff([]string{"a"}, got) != "" {
		t.Errorf("with nobody to ask: %v", got)
	}
	w = newWorld(t)
	w.save(t, "a", "u-a", 1)
	w.kinds.err = errors.New("boom")
	if _, _, err := w.AllLast(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "plan shop/a: boom") {
		t.Errorf("error %v: what is unknown may be missing", err)
	}
}

// takeSet saves a set of the plan called name as it is in secret; each is another one.
func (w *world) takeSet(t *testing.T, name string, uid types.UID, secret *unstructured.Unstructured, complete bool) *unstructured.Unstructured {
	t.Helper()
	w.now = w.now.Add(time.Minute)
	set := snapshot.NewSet(plans, snapshot.SetRecord{Kind: "Plan", Namespace: "shop", Name: name, UID: uid, Complete: complete, Reasons: []string{w.now.String()}},
		[]snapshot.SetMember{{Resource: plans.String(), Namespace: "shop", Name: name, UID: uid, Snapshot: id(secret)}})
	record, err := w.Snapshots.SaveSet(t.Context(), set, snapshot.SetRecord{})
	if err != nil {
		t.Fatal(err)
	}
	return secretNamed("holdfast-set-" + record.ID)
}

func TestLastSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.save(t, "gold", "u-1", 1)
	older, complete := w.takeSet(t, "gold", "u-1", root, true), w.takeSet(t, "gold", "u-1", root, true)
	latest := w.takeSet(t, "gold", "u-1", root, false)
	last := func(secret *unstructured.Unstructured) string {
		t.Helper()
		kept, is, err := w.Last(t.Context(), secret)
		switch {
		case err != nil:
			return err.Error()
		case !is:
			return "no"
		case !kept.Set:
			return "a mere copy"
		}
		return kept.ID + " of " + kept.Of.String()
	}
	want := id(root) + " of plan shop/gold"
	for what, tc := range map[string]struct {
		secret *unstructured.Unstructured
		want   string
	}{
		"the latest": {latest, want}, "the latest that is complete": {complete, want}, "an older one": {older, "no"},
		"one that is not there": {secretNamed("holdfast-set-aaaaaaaaaaaaaaaa"), "no"},
	} {
		if got := last(tc.secret); got != tc.want {
			t.Errorf("%s: %s, want %s", what, got, tc.want)
		}
	}
	w.kinds.err = errors.New("boom")
	if got := last(latest); got != "boom" {
		t.Errorf("with nobody to ask: %s", got)
	}
	w.kinds.err, w.live["gold"] = nil, "u-1"
	if got := last(latest); got != "no" {
		t.Errorf("of a root that is there: %s", got)
	}
	w.live["gold"] = "u-2"
	if err := w.Snapshots.SetJournal(t.Context(), id(root), snapshot.Journal{Phase: snapshot.PhaseDone, NewUID: "u-2"}); err != nil {
		t.Fatal(err)
	}
	if got := last(latest); got != "no" {
		t.Errorf("of a root that was brought back: %s", got)
	}
}
