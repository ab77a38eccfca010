// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestTriedAt(t *testing.T) {
	t.Parallel()
	seen, asked := time.Unix(100, 0), time.Unix(200, 0)
	attempt := func(operation string) *snapshot.Attempt { return &snapshot.Attempt{Operation: operation, At: asked} }
	tests := map[string]struct {
		record snapshot.Record
		want   time.Time
		tried  bool
	}{
		"only seen":                        {record: snapshot.Record{Operation: "record"}},
		"saved before its deletion":        {record: snapshot.Record{Operation: "delete"}, want: seen, tried: true},
		"seen, and asked about later":      {record: snapshot.Record{Operation: "record", LastAttempt: attempt("delete")}, want: asked, tried: true},
		"asked, and seen again later":      {record: snapshot.Record{Operation: "delete", LastAttempt: attempt("record")}, want: seen, tried: true},
		"an undo":                          {record: snapshot.Record{Operation: "record", LastAttempt: attempt("undo")}, want: asked, tried: true},
		"finalizers taken off, last of it": {record: snapshot.Record{Operation: "record", LastAttempt: attempt("strip-finalizers")}, want: asked, tried: true},
		"a restore that is under way":      {record: snapshot.Record{Operation: "record", Journal: &snapshot.Journal{Phase: snapshot.PhaseStarted, At: asked}}, want: asked, tried: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.record.SavedAt = seen
			at, tried := triedAt(&tc.record)
			if tried != tc.tried || tried && !at.Equal(tc.want) {
				t.Errorf("tried %v at %v, want %v at %v", tried, at, tc.tried, tc.want)
			}
		})
	}
}

func TestWhatBecameOfAnObject(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		before func(t *testing.T, w *world) // what was asked
		want   snapshot.State
		bypass bool
	}{
		"nobody was asked": {want: "deleted", bypass: true},
		"it was asked about": {before: func(t *testing.T, w *world) {
			t.Helper()
			w.ask(t, plan("v1"), "delete")
		}, want: "deleted"},
		"its finalizers were asked about": {before: func(t *testing.T, w *world) {
			t.Helper()
			w.ask(t, plan("v1"), "strip-finalizers")
		}, want: "deleted"},
		"it was asked about, kept, and went later": {before: func(t *testing.T, w *world) {
			t.Helper()
			w.ask(t, plan("v1"), "delete")
			w.now = w.now.Add(36 * time.Second)
			w.findKept(t.Context())
			w.read(t, w.Recorder)
		}, want: "deleted", bypass: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := w.create(t)
			if tc.before != nil {
				w.now = w.now.Add(time.Minute)
				tc.before(t, w)
			}
			other := w.replica(t, w.Profiles)
			w.see(t, other, o)
			w.now = w.now.Add(time.Second)
			w.goes(t, w.Recorder, o)
			w.goes(t, other, o)
			got := w.latest(t, o.GetUID())
			if got.State != tc.want || got.Bypass != tc.bypass {
				t.Errorf("state %s, bypass %v; want %s, %v", got.State, got.Bypass, tc.want, tc.bypass)
			}
			if events := w.events(t); (events == 1) != tc.bypass {
				t.Errorf("%d events of two replicas", events)
			}
		})
	}
}

// A deletion that did not happen, because another webhook refused it, say, is
// told from one that is still on its way by the time that a request takes at most.
func TestFindKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.create(t)
	state := func() snapshot.State {
		t.Helper()
		w.findKept(t.Context())
		w.read(t, w.Recorder)
		return w.latest(t, o.GetUID()).State
	}
	w.now = w.now.Add(time.Minute)
	w.ask(t, o, "delete")
	for _, step := range []struct {
		after time.Duration
		want  snapshot.State
	}{{0, "attempted"}, {34 * time.Second, "attempted"}, {2 * time.Second, "kept"}, {time.Hour, "kept"}} {
		w.now = w.now.Add(step.after)
		if got := state(); got != step.want {
			t.Errorf("%s after that it is %s, want %s", step.after, got, step.want)
		}
	}
	// What is Terminating waits for its finalizers, and is not kept.
	terminating := o.DeepCopy()
	terminating.SetResourceVersion("9")
	terminating.SetDeletionTimestamp(&metav1.Time{Time: w.now})
	w.see(t, w.Recorder, terminating)
	w.ask(t, terminating, "delete")
	w.now = w.now.Add(time.Hour)
	if got := state(); got != "attempted" {
		t.Errorf("what waits for its finalizers is %s", got)
	}
}
