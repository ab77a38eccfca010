// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// large is an object that does not compress into one Secret.
func large() *unstructured.Unstructured {
	source := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time, so that a failure repeats
	noise := make([]byte, 2<<20)
	for i := range noise {
		noise[i] = byte('!' + source.IntN(90)) //nolint:gosec // a character of ASCII
	}
	obj := named("big")
	obj.Object["spec"] = map[string]any{"data": string(noise)}
	return obj
}

// chunks are the further Secrets of the snapshots.
func (f *fixture) chunks(t *testing.T) []corev1.Secret {
	t.Helper()
	list, err := f.kube.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "holdfast.dev/chunk-of"})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestLargeObject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.forget()
	obj := large()
	raw, err := obj.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	raw = append([]byte("  "), raw...) // not as it would be encoded here
	record := f.save(t, obj, snapshot.Provenance{Operation: "delete", Raw: raw})
	actions := f.kube.Actions()
	parts := f.chunks(t)
	if got := f.writes(); len(got) != len(parts)+1 || len(parts) != (record.Stored-1)/(900<<10) || len(parts) == 0 {
		t.Errorf("%d writes and %d further parts for %d bytes", len(got), len(parts), record.Stored)
	}
	if last := actions[len(actions)-1].(clienttesting.CreateAction).GetObject().(*corev1.Secret); last.Name != "holdfast-snapshot-"+record.ID {
		t.Errorf("the last write is that of %s, so what is cut off could be listed", last.Name)
	}
	for _, part := range parts {
		if part.Type != "holdfast.dev/snapshot" || len(part.Data["chunk"]) > 900<<10 || part.Labels["holdfast.dev/snapshot"] != "" {
			t.Errorf("part %s: type %q, %d bytes, labels %v", part.Name, part.Type, len(part.Data["chunk"]), part.Labels)
		}
	}
	snap, err := f.Get(t.Context(), record.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(snap.Raw, raw) {
		t.Error("it is not what it was, byte for byte")
	}
	// Once more, by a replica that does not know of it.
	f.forget()
	again := f.save(t, obj, snapshot.Provenance{Operation: "delete", User: "bob", Raw: raw})
	if again.ID != record.ID || len(f.chunks(t)) != len(parts) {
		t.Errorf("saved again as %s with %d parts", again.ID, len(f.chunks(t)))
	}
	for _, verb := range f.writes() {
		if verb == "update" {
			t.Error("what was sound is written again")
		}
	}
}

func TestSpoiltParts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(s *corev1.Secret) // nil removes it
		want  string
	}{
		"missing":     {nil, "part 2 of 3 is missing"},
		"cut off":     {func(s *corev1.Secret) { s.Data["chunk"] = s.Data["chunk"][:1000] }, "checksum does not match"},
		"changed":     {func(s *corev1.Secret) { s.Data["chunk"][7] ^= 1 }, "checksum does not match"},
		"emptied":     {func(s *corev1.Secret) { s.Data = nil }, "part 2 of 3 was changed or cut off"},
		"wrong type":  {func(s *corev1.Secret) { s.Type = "Opaque" }, "part 2 of 3 was changed or cut off"},
		"of another":  {func(s *corev1.Secret) { s.Data["chunk"] = []byte("of another") }, "checksum does not match"},
		"not its own": {func(s *corev1.Secret) {}, "has the name of something else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			obj := large()
			record := f.save(t, obj, snapshot.Provenance{})
			good := f.save(t, named("good"), snapshot.Provenance{})
			secrets := f.kube.CoreV1().Secrets(namespace)
			switch {
			case name == "not its own":
				head := f.secretOf(t, record.ID)
				head.Data["record"] = bytes.ReplaceAll(head.Data["record"], []byte(record.Chunks[0]), []byte("holdfast-digest-key"))
				f.update(t, head)
			case tc.spoil == nil:
				if err := secrets.Delete(t.Context(), record.Chunks[0], metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			default:
				part, err := secrets.Get(t.Context(), record.Chunks[0], metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				tc.spoil(part)
				f.update(t, part)
			}
			_, err := f.Get(t.Context(), record.ID)
			if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), record.ID) {
				t.Errorf("Get: %v, want ErrDamaged with %q", err, tc.want)
			}
			if _, err := f.Get(t.Context(), good.ID); err != nil {
				t.Errorf("another snapshot suffers: %v", err)
			}
			if list, err := f.List(t.Context(), snapshot.Filter{}); err != nil || len(list) != 2 {
				t.Errorf("List: %d records, %v", len(list), err)
			}
			if name == "wrong type" {
				if _, err := f.Save(t.Context(), tiers, obj, snapshot.Provenance{}); err == nil || !strings.Contains(err.Error(), "is in the way") {
					t.Errorf("Save: %v", err)
				}
				return
			}
			f.save(t, obj, snapshot.Provenance{}) // mends it
			if _, err := f.Get(t.Context(), record.ID); err != nil {
				t.Errorf("after saving again: %v", err)
			}
		})
	}
}

// A save that is cut off after each of its writes leaves nothing that is listed,
// does not hinder the next save, and is swept when it is old.
func TestTornWrites(t *testing.T) {
	t.Parallel()
	for cut := range 3 {
		f := newFixture(t)
		if err := f.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		obj := large()
		left := cut
		f.kube.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			left--
			return left < 0, nil, context.Canceled
		})
		if _, err := f.Save(t.Context(), tiers, obj, snapshot.Provenance{}); err == nil {
			t.Fatal("the write was not cut off")
		}
		left = 1000
		if list, err := f.List(t.Context(), snapshot.Filter{}); err != nil || len(list) != 0 {
			t.Errorf("cut after %d: %d are listed, %v", cut, len(list), err)
		}
		sweep := func(want int) {
			t.Helper()
			if got, err := f.Sweep(t.Context(), time.Hour); err != nil || got != want {
				t.Errorf("cut after %d: swept %d, %v; want %d", cut, got, err, want)
			}
		}
		sweep(0) // it may be under way
		f.now = f.now.Add(2 * time.Hour)
		sweep(cut)
		left = cut
		_, _ = f.Save(t.Context(), tiers, obj, snapshot.Provenance{})
		left = 1000
		f.now = f.now.Add(2 * time.Hour)
		record := f.save(t, obj, snapshot.Provenance{}) // goes on with the old parts
		sweep(0)
		if _, err := f.Get(t.Context(), record.ID); err != nil {
			t.Errorf("cut after %d, saved again: %v", cut, err)
		}
		f.now = f.now.Add(2 * time.Hour)
		sweep(0)
	}
}

// A sweep that looked before a save took up the old parts does not remove them.
func TestSweepRaces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	obj := large()
	record := f.save(t, obj, snapshot.Provenance{})
	if err := f.kube.CoreV1().Secrets(namespace).Delete(t.Context(), "holdfast-snapshot-"+record.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, part := range f.chunks(t) {
		part.ResourceVersion = string(rune('1' + i)) // the fake gives none
		f.update(t, &part)
	}
	f.now = f.now.Add(2 * time.Hour)
	raced := false
	f.meta.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if !raced {
			raced = true
			for _, part := range f.chunks(t) {
				part.ResourceVersion += "0" // as the save's update does
				f.update(t, &part)
			}
		}
		return false, nil, nil
	})
	if swept, err := f.Sweep(t.Context(), time.Hour); err != nil || swept != 0 || !raced {
		t.Errorf("swept %d, %v, raced %v", swept, err, raced)
	}
}
