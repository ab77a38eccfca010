// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// aSet is a set of tier small with one saved member more and one of which only
// the name is recorded.
func aSet(more string) *snapshot.Set {
	return snapshot.NewSet(tiers, snapshot.SetRecord{
		APIVersion: "cp.nuodb.com/v1beta1", Kind: "ServiceTier", Namespace: "ns", Name: "small", UID: "u1",
		Operation: "record", Profile: "nuodb", Complete: true, Recoverable: "yes",
	}, []snapshot.SetMember{
		{Resource: "helmfeatures.cp.nuodb.com", Namespace: "ns", Name: "f", UID: "u2", Snapshot: more},
		{Resource: "databases.cp.nuodb.com", Namespace: "t", Name: "db", UID: "u3", Revision: "7"},
		{Resource: "servicetiers.cp.nuodb.com", Namespace: "ns", Name: "small", UID: "u1", Snapshot: "aaaaaaaaaaaaaaaa"},
		{Resource: "databases.cp.nuodb.com", Namespace: "t", Name: "db", UID: "u3", Revision: "7"},
	})
}

func (f *fixture) saveSet(t *testing.T, set *snapshot.Set, latest snapshot.SetRecord) snapshot.SetRecord {
	t.Helper()
	record, err := f.SaveSet(t.Context(), set, latest)
	if err != nil {
		t.Fatalf("SaveSet: %v", err)
	}
	return record
}

func TestSetsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.save(t, named("x"), snapshot.Provenance{})
	record := f.saveSet(t, aSet("bbbbbbbbbbbbbbbb"), snapshot.SetRecord{})
	want := snapshot.SetRecord{
		ID: record.ID, Resource: "servicetiers.cp.nuodb.com", APIVersion: "cp.nuodb.com/v1beta1", Kind: "ServiceTier",
		Namespace: "ns", Name: "small", UID: "u1", Root: "aaaaaaaaaaaaaaaa", TakenAt: f.now, LastAt: f.now,
		Operation: "record", Profile: "nuodb", Saved: 2, Named: 1, Complete: true, Recoverable: "yes",
	}
	if diff := cmp.Diff(want, record); diff != "" || !snapshot.ValidID(record.ID) {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	list, err := f.Sets(t.Context(), snapshot.Filter{UID: "u1"})
	if diff := cmp.Diff([]snapshot.SetRecord{want}, list); diff != "" || err != nil {
		t.Errorf("list: %v (-want +got):\n%s", err, diff)
	}
	set, err := f.Set(t.Context(), record.ID)
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for _, m := range set.Members {
		members = append(members, m.String()+" "+m.Snapshot+m.Revision)
	}
	if diff := cmp.Diff([]string{"databases.cp.nuodb.com t/db 7", "helmfeatures.cp.nuodb.com ns/f bbbbbbbbbbbbbbbb", "servicetiers.cp.nuodb.com ns/small aaaaaaaaaaaaaaaa"}, members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	// No list of snapshots shows it.
	if all, err := f.List(t.Context(), snapshot.Filter{}); err != nil || len(all) != 1 {
		t.Errorf("snapshots: %v %v", all, err)
	}
	if of, err := f.Find(t.Context(), tiers, "ns", "small"); err != nil || len(of) != 0 {
		t.Errorf("snapshots of the root: %v %v", of, err)
	}
}

func TestTheSameSetIsWrittenOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.saveSet(t, aSet("bbbbbbbbbbbbbbbb"), snapshot.SetRecord{})
	f.now = f.now.Add(time.Minute)
	second := f.saveSet(t, aSet("cccccccccccccccc"), snapshot.SetRecord{})
	if first.ID == second.ID {
		t.Fatal("two contents, one set")
	}
	f.forget()
	f.now = f.now.Add(time.Minute)
	if again := f.saveSet(t, aSet("cccccccccccccccc"), second); again.ID != second.ID || !again.LastAt.Equal(second.TakenAt) {
		t.Errorf("the latest again: %+v", again)
	}
	if n := len(f.kube.Actions()) + len(f.meta.Actions()); n != 0 {
		t.Errorf("it costs %d requests", n)
	}
	// What held before and holds again is the newest.
	f.saveSet(t, aSet("bbbbbbbbbbbbbbbb"), snapshot.SetRecord{})
	list, err := f.Sets(t.Context(), snapshot.Filter{Resource: tiers, Namespace: "ns", Name: "small"})
	if err != nil || len(list) != 2 || list[0].ID != first.ID || !list[0].LastAt.Equal(f.now) {
		t.Errorf("list: %+v %v", list, err)
	}
}

func TestSpoiltSets(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *corev1.Secret){
		"cut off":     func(s *corev1.Secret) { s.Data["members"] = s.Data["members"][:5] },
		"changed":     func(s *corev1.Secret) { s.Data["members"][3] ^= 1 },
		"missing":     func(s *corev1.Secret) { s.Data = nil },
		"of a future": func(s *corev1.Secret) { s.Data["format"] = []byte("9") },
	} {
		f := newFixture(t)
		record := f.saveSet(t, aSet("bbbbbbbbbbbbbbbb"), snapshot.SetRecord{})
		secret, err := f.kube.CoreV1().Secrets(namespace).Get(t.Context(), "holdfast-set-"+record.ID, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spoil(secret)
		f.update(t, secret)
		if _, err := f.Set(t.Context(), record.ID); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(fmt.Sprint(err), record.ID) {
			t.Errorf("%s: %v", name, err)
		}
		if list, err := f.Sets(t.Context(), snapshot.Filter{}); err != nil || len(list) != 1 {
			t.Errorf("%s: list: %v %v", name, list, err)
		}
		f.saveSet(t, aSet("bbbbbbbbbbbbbbbb"), snapshot.SetRecord{})
		if _, err := f.Set(t.Context(), record.ID); err != nil {
			t.Errorf("%s: not mended: %v", name, err)
		}
	}
	f := newFixture(t)
	for _, id := range []string{"nonsense", "aaaaaaaaaaaaaaaa"} {
		if _, err := f.Set(t.Context(), id); !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("set %s: %v", id, err)
		}
	}
}

func TestKeepNotesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.save(t, named("x"), snapshot.Provenance{Operation: "delete", User: "eve"})
	f.forget()
	if _, err := f.Keep(t.Context(), tiers, named("x"), snapshot.Provenance{Operation: "record"}); err != nil {
		t.Fatal(err)
	}
	if len(f.writes()) != 0 {
		t.Errorf("a version that is known costs %v", f.writes())
	}
	// Another replica does not know it.
	other, err := snapshot.NewStore(f.kube, f.meta, namespace, func() time.Time { return f.now })
	if err != nil {
		t.Fatal(err)
	}
	record, err := other.Keep(t.Context(), tiers, named("x"), snapshot.Provenance{Operation: "record"})
	if err != nil || !other.Knows(record.ID) {
		t.Fatal(err)
	}
	if list, err := f.List(t.Context(), snapshot.Filter{UID: types.UID("uid-of-x")}); err != nil || len(list) != 1 || list[0].LastAttempt != nil || list[0].Operation != "delete" {
		t.Errorf("list: %+v %v", list, err)
	}
}

// A delete of what is stored already costs one request, which verifies it too.
func TestSavingWhatIsKnownIsOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record, err := f.Keep(t.Context(), tiers, named("x"), snapshot.Provenance{Operation: "record"})
	if err != nil {
		t.Fatal(err)
	}
	f.forget()
	got := f.save(t, named("x"), snapshot.Provenance{Operation: "delete", User: "eve"})
	if got.LastAttempt == nil || got.LastAttempt.User != "eve" || len(f.kube.Actions())+len(f.meta.Actions()) != 1 {
		t.Errorf("%+v, %v %v", got.LastAttempt, f.kube.Actions(), f.meta.Actions())
	}
	// It was damaged meanwhile: the answer tells, and it is mended.
	secret := f.secretOf(t, record.ID)
	secret.Data["object"][9] ^= 1
	f.update(t, secret)
	f.save(t, named("x"), snapshot.Provenance{Operation: "delete"})
	if _, err := f.Get(t.Context(), record.ID); err != nil {
		t.Errorf("not mended: %v", err)
	}
	// It was removed meanwhile.
	if err := f.kube.CoreV1().Secrets(namespace).Delete(t.Context(), "holdfast-snapshot-"+record.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.save(t, named("x"), snapshot.Provenance{Operation: "delete"})
	if _, err := f.Get(t.Context(), record.ID); err != nil {
		t.Errorf("not written again: %v", err)
	}
}

// A request that came too late tells nothing of what is stored: the next try
// still costs one.
func TestWhatIsKnownStaysKnownWhenTimeRunsOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record, err := f.Keep(t.Context(), tiers, named("x"), snapshot.Provenance{Operation: "record"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	late := true
	f.kube.PrependReactor("patch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if late {
			cancel()
		}
		return late, nil, context.DeadlineExceeded
	})
	if _, err := f.Save(ctx, tiers, named("x"), snapshot.Provenance{Operation: "delete"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if late = false; !f.Knows(record.ID) {
		t.Error("it is forgotten")
	}
	f.forget()
	f.save(t, named("x"), snapshot.Provenance{Operation: "delete"})
	if n := len(f.kube.Actions()) + len(f.meta.Actions()); n != 1 {
		t.Errorf("the next try costs %d requests", n)
	}
}
