// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func uid(name string) types.UID { return types.UID("uid-of-" + name) }

func TestCompare(t *testing.T) {
	t.Parallel()
	const base = `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1, 2]}, e: {}}}`
	cases := map[string]struct {
		live  string
		apart bool
		lost  []string
		notes []string
	}{
		"the same": {live: base},
		"what the API server fills in": {
			live: `{apiVersion: v1, kind: X, metadata: {name: a, uid: u, resourceVersion: "1", generation: 1, creationTimestamp: x, managedFields: [], labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1, 2]}, e: {}}}`,
		},
		"an empty map is pruned":     {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1, 2]}}}`},
		"a label is lost":            {live: `{apiVersion: v1, kind: X, metadata: {name: a, finalizers: [f]}, spec: {a: {b: [1, 2]}}}`, lost: []string{".metadata.labels"}},
		"a finalizer is lost":        {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}}, spec: {a: {b: [1, 2]}}}`, lost: []string{".metadata.finalizers"}},
		"a list is shorter":          {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1]}}}`, lost: []string{".spec.a.b"}},
		"a value is another":         {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: y}, finalizers: [f]}, spec: {a: 1}}`, lost: []string{".metadata.labels.l", ".spec.a"}},
		"a default is added":         {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1, 2]}, d: 1}}`, notes: []string{"the API server added .spec.d"}},
		"many defaults are added":    {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1, 2], c: 1}, d: 1, f: 1, g: 1, h: 1}}`, notes: []string{"the API server added .spec.a.c, .spec.d, .spec.f and 2 more"}},
		"a status that is not saved": {live: `{apiVersion: v1, kind: X, metadata: {name: a, labels: {l: x}, finalizers: [f]}, spec: {a: {b: [1, 2]}}, status: {x: 1}}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := compare(object(t, base), object(t, tc.live), tc.apart)
			if diff := cmp.Diff(difference{lost: tc.lost, notes: tc.notes}, got, cmp.AllowUnexported(difference{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCompareStatus(t *testing.T) {
	t.Parallel()
	want := map[string]any{"history": []any{"a", "b"}}
	same := object(t, `{apiVersion: v1, kind: X, status: {history: [a, b], more: 1}}`)
	if got := compareStatus(want, same); len(got.lost) > 0 || len(got.notes) != 1 {
		t.Errorf("the same history: %+v", got)
	}
	gone := object(t, `{apiVersion: v1, kind: X}`)
	if got := compareStatus(want, gone); !cmp.Equal(got.lost, []string{".status"}) {
		t.Errorf("no status: lost %v", got.lost)
	}
}

// Values may be secret: a difference names paths alone.
func TestDifferencesShowNoValues(t *testing.T) {
	t.Parallel()
	secret := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {p: planted-marker}}`)
	other := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {p: another-marker, q: third-marker}}`)
	d := compare(secret, other, false)
	if text := d.String() + strings.Join(d.notes, " "); strings.Contains(text, "marker") || !strings.Contains(text, ".data.p") {
		t.Errorf("difference: %s", text)
	}
}

func TestMadeFrom(t *testing.T) {
	t.Parallel()
	record := func(j *snapshot.Journal) *snapshot.Record { return &snapshot.Record{UID: uid("old"), Journal: j} }
	cases := map[string]struct {
		uid     string
		manager string
		journal *snapshot.Journal
		want    bool
	}{
		"no recovery began":                      {uid: "new", manager: "holdfast", want: false},
		"noted as created":                       {uid: "new", journal: &snapshot.Journal{Phase: snapshot.PhaseCreated, NewUID: uid("new")}, want: true},
		"noted as done":                          {uid: "new", journal: &snapshot.Journal{Phase: snapshot.PhaseDone, NewUID: uid("new")}, want: true},
		"another was noted":                      {uid: "new", manager: "holdfast", journal: &snapshot.Journal{Phase: snapshot.PhaseDone, NewUID: uid("newer")}, want: false},
		"killed after the creation":              {uid: "new", manager: "holdfast", journal: &snapshot.Journal{Phase: snapshot.PhaseStarted}, want: true},
		"somebody else created it":               {uid: "new", manager: "kubectl", journal: &snapshot.Journal{Phase: snapshot.PhaseStarted}, want: false},
		"the old object, marked but still there": {uid: "old", manager: "holdfast", journal: &snapshot.Journal{Phase: snapshot.PhaseStarted}, want: false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := object(t, `{apiVersion: v1, kind: X, metadata: {name: a}}`)
			live.SetUID(uid(tc.uid))
			live.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: tc.manager}, {Manager: "operator", Subresource: "status"}})
			if got := madeFrom(live, record(tc.journal)); got != tc.want {
				t.Errorf("madeFrom: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestStripPatch(t *testing.T) {
	t.Parallel()
	live := object(t, `{apiVersion: v1, kind: X, metadata: {name: a, uid: u1, resourceVersion: "7", finalizers: [a, b]}}`)
	got, err := stripPatch(live)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"metadata":{"annotations":{"holdfast.dev/undo":"u1"},"finalizers":null,"resourceVersion":"7","uid":"u1"}}`
	if string(got) != want {
		t.Errorf("patch %s, want %s", got, want)
	}
}
