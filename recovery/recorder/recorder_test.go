// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

// billing guards plans, each with the ConfigMaps that it owns.
const billing = `{apiVersion: holdfast.dev/v1alpha1, kind: GuardProfile, metadata: {name: billing}, spec: {resources: [
  {resource: plans.billing.example, closure: [{resource: configmaps, ownedBy: true}]}]}}`

// world is a recorder whose watches do not run: tests tell it what there is.
type world struct {
	*Recorder
	now    time.Time
	kube   *fake.Clientset
	client *dynamicfake.FakeDynamicClient
	meta   *metadatafake.FakeMetadataClient
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), client: plansIn()}
	w.kube, w.meta = snapshottest.Clients(t.Context())
	profiles, err := profile.Parse([]byte(billing))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(profiles...)
	if err != nil {
		t.Fatal(err)
	}
	w.Recorder = w.replica(t, set)
	return w
}

// replica is a recorder over the same cluster, with a store of its own.
func (w *world) replica(t *testing.T, set *profile.Set) *Recorder {
	t.Helper()
	store, err := snapshot.NewStore(w.kube, w.meta, "holdfast-system", func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	definer := DefinerFunc(func(_ context.Context, gr schema.GroupResource) (Kind, bool, error) {
		return Kind{Resource: gr.WithVersion("v1"), Namespaced: true}, true, nil
	})
	live := NewLive(w.client, w.meta, definer)
	live.Profiles = set
	r := New(set, store, live, w.kube, definer)
	r.Now = func() time.Time { return w.now }
	r.Sets.DefinitionVersion = func(schema.GroupResource) string { return "42" }
	return r
}

// create makes a plan, and has it seen and saved.
func (w *world) create(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	o, err := w.client.Resource(plans.WithVersion("v1")).Namespace("shop").Create(t.Context(), plan("v1"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.see(t, w.Recorder, o)
	return o
}

func (w *world) see(t *testing.T, r *Recorder, o *unstructured.Unstructured) {
	t.Helper()
	guarded, _ := r.Profiles.Guarded(plans)
	r.seen(guarded, o)
	if err := r.saveVersions(t.Context(), o.GetUID()); err != nil {
		t.Fatal(err)
	}
	if err := r.takeSet(t.Context(), o.GetUID()); err != nil {
		t.Fatal(err)
	}
	w.read(t, r)
}

// goes has a recorder see that an object has gone, and what it makes of that.
func (w *world) goes(t *testing.T, r *Recorder, o *unstructured.Unstructured) {
	t.Helper()
	guarded, _ := r.Profiles.Guarded(plans)
	(&guardedSink{r, guarded}).gone(o)
	if err := r.confirm(t.Context(), o.GetUID()); err != nil {
		t.Fatal(err)
	}
	w.read(t, r)
}

// read makes a recorder know what is stored.
func (w *world) read(t *testing.T, r *Recorder) {
	t.Helper()
	list, err := r.Store.ListStored(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []metav1.Object
	for i := range list.Items {
		all = append(all, &list.Items[i])
	}
	r.book.all(all)
}

// ask has the webhook save a plan before an operation.
func (w *world) ask(t *testing.T, o *unstructured.Unstructured, operation string) snapshot.Record {
	t.Helper()
	record, err := w.Sets.Save(t.Context(), plans, o, snapshot.Provenance{Operation: operation, User: "eve"})
	if err != nil {
		t.Fatal(err)
	}
	w.read(t, w.Recorder)
	return record
}

func (w *world) latest(t *testing.T, uid types.UID) snapshot.Record {
	t.Helper()
	records, err := w.Store.List(t.Context(), snapshot.Filter{UID: uid})
	if err != nil || len(records) == 0 {
		t.Fatalf("records %v, %v", records, err)
	}
	return records[0]
}

func (w *world) events(t *testing.T) int {
	t.Helper()
	list, err := w.kube.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

func TestSeenIsSavedWithItsSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.create(t)
	record := w.latest(t, o.GetUID())
	if record.State != snapshot.StateKept || record.CRDVersion != "42" || record.Operation != "record" {
		t.Errorf("record %+v", record)
	}
	set := w.book.latestSet(o.GetUID())
	if set.Root != record.ID || !set.Complete {
		t.Errorf("set %+v", set)
	}
	// Nothing has changed: nothing is written.
	w.kube.ClearActions()
	w.see(t, w.Recorder, o)
	for _, action := range w.kube.Actions() {
		if verb := action.GetVerb(); verb != "get" && verb != "list" {
			t.Errorf("%s %s although nothing has changed", verb, action.GetResource().Resource)
		}
	}
}

func TestAnUnseenChangeIsSavedOfWhatGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.create(t).DeepCopy()
	o.Object["spec"] = "the last state, which came with its end"
	w.now = w.now.Add(time.Second)
	w.goes(t, w.Recorder, o)
	snap, err := w.Store.Get(t.Context(), w.latest(t, o.GetUID()).ID)
	if err != nil || snap.Object.Object["spec"] != o.Object["spec"] || !snap.Bypass {
		t.Errorf("snapshot %+v, %v", snap, err)
	}
}

// What is being deleted falls apart; the complete set of before is what counts,
// unless somebody asks for one of what is left.
func TestTerminatingKeepsItsSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.create(t).DeepCopy()
	set := w.book.latestSet(o.GetUID())
	o.SetDeletionTimestamp(&metav1.Time{Time: w.now})
	o.SetResourceVersion("2")
	o.Object["status"] = "its parts have gone"
	if _, err := w.client.Resource(plans.WithVersion("v1")).Namespace("shop").Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{"record", "strip-finalizers", "snapshot"} {
		w.now = w.now.Add(time.Second)
		if operation == "record" {
			w.see(t, w.Recorder, o)
		} else {
			w.ask(t, o, operation)
		}
		if now := w.book.latestSet(o.GetUID()); (now.ID == set.ID) != (operation != "snapshot") {
			t.Errorf("after %s the latest set is %s, before it was %s", operation, now.ID, set.ID)
		}
		if w.latest(t, o.GetUID()).ID == set.Root {
			t.Errorf("after %s the last state is not saved", operation)
		}
	}
}

// What is removed from the store by hand, and is what exists now, is saved again.
func TestLostIsSavedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.create(t)
	record, set := w.latest(t, o.GetUID()), w.book.latestSet(o.GetUID())
	for _, name := range []string{"holdfast-snapshot-" + record.ID, "holdfast-set-" + set.ID} {
		if err := w.kube.CoreV1().Secrets("holdfast-system").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.read(t, w.Recorder)
		if w.roots[o.GetUID()].dirtySince.IsZero() {
			t.Fatalf("nobody notices that %s is missing", name)
		}
		if err := w.takeSet(t.Context(), o.GetUID()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.kube.CoreV1().Secrets("holdfast-system").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("not there again: %v", err)
		}
		w.read(t, w.Recorder)
	}
	// An older version that goes is none of its business.
	o = o.DeepCopy()
	o.Object["spec"], o.Object["metadata"].(map[string]any)["resourceVersion"] = "other", "2"
	if _, err := w.client.Resource(plans.WithVersion("v1")).Namespace("shop").Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.see(t, w.Recorder, o)
	if err := w.kube.CoreV1().Secrets("holdfast-system").Delete(t.Context(), "holdfast-snapshot-"+record.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.read(t, w.Recorder)
	if !w.roots[o.GetUID()].dirtySince.IsZero() {
		t.Error("an older version is taken for a loss")
	}
}

// The watches of places that no set needs any more end, but not at once.
func TestIdleWatchesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.create(t)
	at := profile.Place{Resource: schema.GroupResource{Resource: "configmaps"}, Namespace: "shop"}
	follows := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.followers[at] != nil
	}
	for range 3 {
		w.stopIdle()
	}
	if !follows() {
		t.Fatal("the place of members is not followed")
	}
	w.goes(t, w.Recorder, o)
	w.stopIdle()
	if !follows() {
		t.Error("it ended at once: what comes and goes would be listed each time")
	}
	w.stopIdle()
	if follows() {
		t.Error("nobody needs it, and it goes on")
	}
	w.following.Wait()
}
