// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

func TestReleases(t *testing.T) {
	t.Parallel()
	store, client := newStore(t, noon,
		approval("object", nil),
		approval("good", func(a *v1alpha1.DeletionApproval) {
			a.Spec.Resource, a.Spec.Namespace, a.Spec.Name, a.Spec.UID, a.Spec.Operation = "release", "ops", "billing", "", "uninstall"
		}),
		approval("over", func(a *v1alpha1.DeletionApproval) {
			a.Spec.Resource, a.Spec.Namespace, a.Spec.Name, a.Spec.UID, a.Spec.Operation = "release", "ops", "old", "", "uninstall"
			a.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
		}),
	)
	changed := make(chan struct{}, 10)
	r := &Releases{Client: client, Now: store.Now, Changed: func() { changed <- struct{}{} }}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Start(ctx) }()
	<-changed
	if !r.Approved("ops", "billing") {
		t.Error("an approval does not count")
	}
	if r.Approved("ops", "old") || r.Approved("other", "billing") || r.Approved("shop", "gold") {
		t.Error("what is not approved counts")
	}
	if err := client.Resource(Resource()).Delete(ctx, "good", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	<-changed
	if r.Approved("ops", "billing") {
		t.Error("it was taken back and counts still")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A leader that leads again must not go by what it knew the last time.
func TestReleasesStartAnew(t *testing.T) {
	t.Parallel()
	store, client := newStore(t, noon)
	r := &Releases{Client: client, Now: store.Now, Changed: func() {}}
	r.known = map[string]*v1alpha1.DeletionApproval{"gone": approval("gone", func(a *v1alpha1.DeletionApproval) {
		a.Spec.Resource, a.Spec.Namespace, a.Spec.Name = "release", "ops", "billing"
	})}
	if !r.Approved("ops", "billing") {
		t.Fatal("it does not count to begin with")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if r.Approved("ops", "billing") {
		t.Error("an approval that was taken back meanwhile counts still")
	}
}

// Asked once, without following.
func TestStoreRelease(t *testing.T) {
	t.Parallel()
	release := func(a *v1alpha1.DeletionApproval) {
		a.Spec.Resource, a.Spec.Namespace, a.Spec.Name, a.Spec.UID, a.Spec.Operation = "release", "ops", "billing", "", "uninstall"
	}
	for name, c := range map[string]struct {
		given func(*v1alpha1.DeletionApproval)
		want  string
	}{
		"approved":      {given: release, want: "it"},
		"expired":       {given: func(a *v1alpha1.DeletionApproval) { release(a); a.CreationTimestamp.Time = noon.Add(-time.Hour) }},
		"of an object":  {},
		"of another":    {given: func(a *v1alpha1.DeletionApproval) { release(a); a.Spec.Name = "other" }},
		"of a namesake": {given: func(a *v1alpha1.DeletionApproval) { release(a); a.Spec.Namespace = "other" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := newStore(t, noon, approval("it", c.given))
			if got, err := store.Release(t.Context(), "ops", "billing"); err != nil || got != c.want {
				t.Errorf("Release() = %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
