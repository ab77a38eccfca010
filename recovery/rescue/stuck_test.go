// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

const (
	stuckDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"astartevoyageringresses.api.astarte-platform.org",
		"uid":"d-2"%},"spec":{"group":"api.astarte-platform.org","names":{"plural":"astartevoyageringresses"},"versions":[{"name":"v1alpha2","served":true,"storage":true}]},
		"status":{"conditions":[{"type":"Terminating","status":"True","reason":"InstanceDeletionFailed","message":"could not issue all deletes"}]}}`
	voyagerIngress = `{"apiVersion":"api.astarte-platform.org/v1alpha2","kind":"AstarteVoyagerIngress","metadata":{"name":"avi","namespace":"ns","uid":"u-7"%},"spec":{"astarte":"one"}}`
	marked         = `,"deletionTimestamp":"2026-03-03T12:00:00Z"`
)

// stuckRescue is a rescue in a cluster with these objects, and its store.
func stuckRescue(t *testing.T, objects ...runtime.Object) (*Rescue, *storeKube) {
	t.Helper()
	r := newRescue(t)
	kinds := map[schema.GroupVersionResource]string{
		definitions: "CustomResourceDefinitionList",
		{Group: "api.astarte-platform.org", Version: "v1alpha2", Resource: "astartevoyageringresses"}: "AstarteVoyagerIngressList",
	}
	r.Recovery.Client = fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)
	kube, meta := snapshottest.Clients(t.Context())
	store, err := snapshot.NewStore(kube, meta, "holdfast-system", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r.Recovery.Snapshots, r.Recovery.Profiles = store, &profile.Set{}
	return r, &storeKube{kube, func() {
		kube.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "holdfast-system")
		})
	}}
}

// storeKube is the API server behind a store; gone takes its namespace away.
type storeKube struct {
	kubernetes.Interface
	gone func()
}

func TestOtherDefinitionsThatAreGoing(t *testing.T) {
	t.Parallel()
	of := func(text, more string) runtime.Object { return object(t, strings.Replace(text, "%", more, 1)) }
	for name, tc := range map[string]struct {
		objects []runtime.Object
		want    []*stuck
		refused string
	}{
		"none is there":     {},
		"one is there":      {objects: []runtime.Object{of(stuckDefinition, "")}},
		"one is going":      {objects: []runtime.Object{of(stuckDefinition, marked), of(voyagerIngress, "")}, want: []*stuck{{Resource: "astartevoyageringresses.api.astarte-platform.org", UID: "d-2", Why: "InstanceDeletionFailed: could not issue all deletes"}}},
		"one is held in it": {objects: []runtime.Object{of(stuckDefinition, marked), of(voyagerIngress, `,"finalizers":["a/b"]`)}, refused: `the finalizers of ns/avi hold it (a/b); if what set them has nothing to clean up, save it and remove them, then run the command again: holdfast recovery snapshot astartevoyageringresses.api.astarte-platform.org avi -n ns && kubectl patch astartevoyageringresses.api.astarte-platform.org avi -n ns --type=merge -p '{"metadata":{"finalizers":null}}'`},
	} {
		r, _ := stuckRescue(t, tc.objects...)
		found, err := r.stuckDefinitions(t.Context())
		if diff := cmp.Diff(tc.want, found); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if (err == nil) != (tc.refused == "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
			t.Errorf("%s: %v, want %q", name, err, tc.refused)
		}
	}
}

func TestADefinitionThatGoesWhileItIsLookedAt(t *testing.T) {
	t.Parallel()
	r, _ := stuckRescue(t, object(t, strings.Replace(stuckDefinition, "%", marked, 1)))
	answer := apierrors.NewInternalError(errors.New("conversion webhook failed"))
	client := r.Recovery.Client.(*fake.FakeDynamicClient)
	client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, answer })
	if _, err := r.stuckDefinitions(t.Context()); err == nil || !strings.Contains(err.Error(), "list astartevoyageringresses.api.astarte-platform.org, whose definition is Terminating: ") {
		t.Errorf("unreadable: %v", err)
	}
	answer = apierrors.NewNotFound(schema.GroupResource{}, "")
	if _, err := r.stuckDefinitions(t.Context()); err != nil {
		t.Errorf("gone: %v", err)
	}
}

func TestWhatGoesWithADefinitionIsSaved(t *testing.T) {
	t.Parallel()
	crd, obj := strings.Replace(stuckDefinition, "%", marked, 1), strings.Replace(voyagerIngress, "%", "", 1)
	r, _ := stuckRescue(t, object(t, crd), object(t, obj))
	p := &patient{Namespace: "ns", Name: "one", Object: object(t, terminatingAstarte)}
	d := &stuck{Resource: "astartevoyageringresses.api.astarte-platform.org", UID: "d-2"}
	w := &ward{Patients: []*patient{p}, Stuck: []*stuck{d}}
	if err := r.saveStuck(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if len(d.Snapshots) != 1 || len(p.Referrers) != 1 || len(w.goesAlong()) != 1 {
		t.Errorf("saved %v, of the Astarte %v, created again %v; want one, the same", d.Snapshots, p.Referrers, w.goesAlong())
	}
	other := &stuck{Resource: d.Resource, UID: "another"}
	if err := r.saveStuck(t.Context(), &ward{Stuck: []*stuck{other}}); err != nil || len(other.Snapshots) > 0 {
		t.Errorf("of a definition that was made anew: %v, %v", other.Snapshots, err)
	}

	r, kube := stuckRescue(t, object(t, crd), object(t, obj))
	kube.gone()
	err := r.saveStuck(t.Context(), w)
	if want := "cannot be saved without Holdfast's namespace: kubectl create namespace holdfast-system, then run the command again"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without a store: %v, want %q", err, want)
	}
}
