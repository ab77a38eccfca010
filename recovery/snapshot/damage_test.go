// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// spoilers are the ways in which a stored snapshot can be spoiled.
var spoilers = map[string]struct {
	spoil func(s *corev1.Secret)
	want  string
}{
	"payload cut off": {func(s *corev1.Secret) { s.Data["object"] = s.Data["object"][:10] }, "changed or cut off"},
	"payload changed": {func(s *corev1.Secret) { s.Data["object"][12] ^= 1 }, "changed or cut off"},
	"payload missing": {func(s *corev1.Secret) { delete(s.Data, "object") }, "changed or cut off"},
	"record changed": {func(s *corev1.Secret) {
		s.Data["record"] = bytes.Replace(s.Data["record"], []byte("n0"), []byte("n1"), 1)
	}, "changed or cut off"},
	"everything missing": {func(s *corev1.Secret) { s.Data = nil }, "format is not marked"},
	"unknown format":     {func(s *corev1.Secret) { s.Data["format"] = []byte("9") }, `format "9" is unknown`},
}

func TestSpoiltSnapshots(t *testing.T) {
	t.Parallel()
	for name, tc := range spoilers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			record := f.save(t, tier(t), snapshot.Provenance{})
			good := f.save(t, named("good"), snapshot.Provenance{})
			secret := f.secretOf(t, record.ID)
			tc.spoil(secret)
			f.update(t, secret)

			_, err := f.Get(t.Context(), record.ID)
			if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(fmt.Sprint(err), tc.want) || !strings.Contains(fmt.Sprint(err), record.ID) {
				t.Errorf("Get: %v, want ErrDamaged of %s with %q", err, record.ID, tc.want)
			}
			if _, err := f.Get(t.Context(), good.ID); err != nil {
				t.Errorf("another snapshot suffers: %v", err)
			}
			if list, err := f.List(t.Context(), snapshot.Filter{}); err != nil || len(list) != 2 {
				t.Errorf("List: %d records, %v", len(list), err)
			}
			// Saving the version again mends it, with no right to delete.
			f.kube.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
			if got := f.save(t, tier(t), snapshot.Provenance{}); got.ID != record.ID {
				t.Errorf("saved again as %s, want %s", got.ID, record.ID)
			}
			if snap, err := f.Get(t.Context(), record.ID); err != nil || !cmp.Equal(snap.Object, tier(t)) {
				t.Errorf("after saving again: %v", err)
			}
		})
	}
}

func TestMendingKeepsTheJournal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record := f.save(t, tier(t), snapshot.Provenance{Journal: &snapshot.Journal{Operation: "undo", Phase: snapshot.PhaseStarted}})
	secret := f.secretOf(t, record.ID)
	secret.Data["object"] = nil
	f.update(t, secret)
	f.save(t, tier(t), snapshot.Provenance{})
	snap, err := f.Get(t.Context(), record.ID)
	if err != nil || !snap.Journal.Open() {
		t.Errorf("after mending: %+v, %v; want an open journal", snap, err)
	}
}

func TestSomethingElseInTheWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record := f.save(t, tier(t), snapshot.Provenance{})
	secret := f.secretOf(t, record.ID)
	secret.Type = corev1.SecretTypeOpaque
	f.update(t, secret)
	_, err := f.Save(t.Context(), tiers, tier(t), snapshot.Provenance{})
	if err == nil || !strings.Contains(err.Error(), "is in the way and no snapshot; remove or rename it") {
		t.Errorf("Save: %v", err)
	}
}

func TestSpoiltMetadata(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spoil func(s *corev1.Secret)
		want  string
	}{
		"record unreadable":  {func(s *corev1.Secret) { s.Annotations["holdfast.dev/snapshot-record"] = "{" }, "annotations cannot be read"},
		"annotations gone":   {func(s *corev1.Secret) { s.Annotations = nil }, "format is not marked"},
		"unknown format":     {func(s *corev1.Secret) { s.Annotations["holdfast.dev/snapshot-format"] = "3" }, `format "3" is unknown`},
		"journal unreadable": {func(s *corev1.Secret) { s.Annotations["holdfast.dev/journal"] = "?" }, "holdfast.dev/journal cannot be read"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			record := f.save(t, tier(t), snapshot.Provenance{})
			f.save(t, named("good"), snapshot.Provenance{})
			secret := f.secretOf(t, record.ID)
			tc.spoil(secret)
			f.update(t, secret)
			list, err := f.List(t.Context(), snapshot.Filter{})
			if err != nil || len(list) != 2 {
				t.Fatalf("List: %d records, %v", len(list), err)
			}
			var problems []string
			for _, r := range list {
				if r.Problem != "" {
					problems = append(problems, r.Problem)
					if r.ID != record.ID {
						t.Errorf("problem of %s, want %s", r.ID, record.ID)
					}
				}
			}
			if len(problems) != 1 || !strings.Contains(problems[0], tc.want) {
				t.Errorf("problems %q, want one with %q", problems, tc.want)
			}
		})
	}
}
