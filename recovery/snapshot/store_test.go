// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

const namespace = "holdfast-system"

var tiers = schema.GroupResource{Group: "cp.nuodb.com", Resource: "servicetiers"}

// fixture is a store over fake clients.
type fixture struct {
	*snapshot.Store
	kube *fake.Clientset
	meta *metadatafake.FakeMetadataClient
	now  time.Time
}

func newFixture(t *testing.T, objects ...runtime.Object) *fixture {
	t.Helper()
	f := &fixture{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	f.kube, f.meta = snapshottest.Clients(t.Context(), objects...)
	var err error
	if f.Store, err = snapshot.NewStore(f.kube, f.meta, namespace, func() time.Time { return f.now }); err != nil {
		t.Fatal(err)
	}
	return f
}

// tier is the service tier of the fixture, as the API server gave it out.
func tier(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	raw, err := os.ReadFile("testdata/tier-terminating.json")
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return obj
}

func named(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cp.nuodb.com/v1beta1", "kind": "ServiceTier",
		"metadata": map[string]any{"name": name, "namespace": "ns", "uid": "uid-of-" + name},
		"spec":     map[string]any{"a": int64(1)},
	}}
}

func (f *fixture) save(t *testing.T, obj *unstructured.Unstructured, p snapshot.Provenance) snapshot.Record {
	t.Helper()
	record, err := f.Save(t.Context(), tiers, obj, p)
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return record
}

// writes are the names of the fake's requests that changed something.
func (f *fixture) writes() []string {
	var verbs []string
	for _, a := range append(f.kube.Actions(), f.meta.Actions()...) {
		if v := a.GetVerb(); v != "get" && v != "list" {
			verbs = append(verbs, v)
		}
	}
	return verbs
}

func (f *fixture) forget() {
	f.kube.ClearActions()
	f.meta.ClearActions()
}

func (f *fixture) secretOf(t *testing.T, id string) *corev1.Secret {
	t.Helper()
	secret, err := f.kube.CoreV1().Secrets(namespace).Get(t.Context(), "holdfast-snapshot-"+id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func (f *fixture) update(t *testing.T, secret *corev1.Secret) {
	t.Helper()
	if _, err := f.kube.CoreV1().Secrets(namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestSaveGivesBackWhatItGot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	obj := tier(t)
	before := obj.DeepCopy()
	p := snapshot.Provenance{
		Operation: "delete", User: "alice", RequestUID: "r1", Profile: "nuodb", Reason: "clean-up",
		RestoreStatus: true, RestoreOrder: 20,
	}
	record := f.save(t, obj, p)
	raw, err := before.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := snapshot.Record{
		ID: record.ID, Resource: "servicetiers.cp.nuodb.com", APIVersion: "cp.nuodb.com/v1beta1", Kind: "ServiceTier",
		Namespace: "nuodb-cp-system", Name: "n0.small", UID: "06d05baf-ebd7-49f5-82d2-878227da809e",
		ResourceVersion: "1016", Generation: 5, Terminating: true, SavedAt: f.now, Operation: "delete", User: "alice",
		RequestUID: "r1", Profile: "nuodb", Reason: "clean-up", RestoreStatus: true, RestoreOrder: 20, Size: len(raw), Stored: record.Stored,
		State: "attempted", StateAt: f.now,
	}
	if diff := cmp.Diff(want, record); diff != "" {
		t.Errorf("record of Save (-want +got):\n%s", diff)
	}
	if !snapshot.ValidID(record.ID) {
		t.Errorf("ID %q is not valid", record.ID)
	}
	if diff := cmp.Diff(before, obj); diff != "" {
		t.Errorf("Save changed the object:\n%s", diff)
	}
	got, err := f.Get(t.Context(), record.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&snapshot.Snapshot{Record: want, Object: before, Raw: raw}, got); diff != "" {
		t.Errorf("Get (-want +got):\n%s", diff)
	}
	listed, err := f.List(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]snapshot.Record{want}, listed); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func TestSaveWritesOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.forget()
	f.save(t, tier(t), snapshot.Provenance{})
	if diff := cmp.Diff([]string{"create"}, f.writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if got := len(f.kube.Actions()) + len(f.meta.Actions()); got != 1 {
		t.Errorf("%d requests for a new version, want 1", got)
	}
}

func TestSecretOfASnapshot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	obj := tier(t)
	obj.SetKind("Secret")
	obj.SetAPIVersion("v1")
	if err := unstructured.SetNestedField(obj.Object, "bWFya2Vy", "data", "password"); err != nil {
		t.Fatal(err)
	}
	secret := f.secretOf(t, f.save(t, obj, snapshot.Provenance{}).ID)
	if secret.Type != "holdfast.dev/snapshot" || secret.Namespace != namespace || len(secret.OwnerReferences) != 0 {
		t.Errorf("type %q, namespace %q, owners %v", secret.Type, secret.Namespace, secret.OwnerReferences)
	}
	if got := secret.Labels["holdfast.dev/uid"]; got != "06d05baf-ebd7-49f5-82d2-878227da809e" {
		t.Errorf("label of the uid: %q", got)
	}
	meta, err := json.Marshal(secret.ObjectMeta)
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{"bWFya2Vy", "marker"} {
		if bytes.Contains(meta, []byte(leak)) {
			t.Errorf("metadata holds content %q: %s", leak, meta)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	base := func() *unstructured.Unstructured { return named("a") }
	cases := map[string]struct {
		change func(o *unstructured.Unstructured)
		same   bool
	}{
		"marked as deleted": {func(o *unstructured.Unstructured) {
			o.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)})
			zero := int64(0)
			o.SetDeletionGracePeriodSeconds(&zero)
			o.SetGeneration(7)
			o.SetResourceVersion("99")
		}, true},
		"managed by others": {func(o *unstructured.Unstructured) {
			o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "x"}})
		}, true},
		"another spec": {func(o *unstructured.Unstructured) { o.Object["spec"] = map[string]any{"a": int64(2)} }, false},
		"a label":      {func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{"a": "b"}) }, false},
		"a finalizer":  {func(o *unstructured.Unstructured) { o.SetFinalizers([]string{"x/y"}) }, false},
		"a status":     {func(o *unstructured.Unstructured) { o.Object["status"] = map[string]any{"a": "b"} }, false},
		"another uid":  {func(o *unstructured.Unstructured) { o.SetUID("other") }, false},
		"spec.generation": {func(o *unstructured.Unstructured) {
			o.Object["spec"] = map[string]any{"a": int64(1), "generation": int64(1)}
		}, false},
		"number as a string": {func(o *unstructured.Unstructured) { o.Object["spec"] = map[string]any{"a": "1"} }, false},
	}
	f := newFixture(t)
	want := f.save(t, base(), snapshot.Provenance{}).ID
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			obj := base()
			tc.change(obj)
			if got := f.save(t, obj, snapshot.Provenance{}).ID; (got == want) != tc.same {
				t.Errorf("IDs %s and %s, want the same: %v", got, want, tc.same)
			}
		})
	}
	other := newFixture(t)
	if got := other.save(t, base(), snapshot.Provenance{}).ID; got == want {
		t.Errorf("two keys give one ID %s: it is not keyed", got)
	}
}

func TestSaveAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.save(t, tier(t), snapshot.Provenance{Operation: "delete", User: "alice", RequestUID: "r1"})
	f.forget()
	f.now = f.now.Add(time.Minute)
	again := f.save(t, tier(t), snapshot.Provenance{Operation: "undo", User: "bob", RequestUID: "r2", Reason: "mistake"})
	want := first
	want.StateAt = f.now
	want.LastAttempt = &snapshot.Attempt{Operation: "undo", User: "bob", RequestUID: "r2", Reason: "mistake", ResourceVersion: "1016", At: f.now}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	listed, err := f.List(t.Context(), snapshot.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]snapshot.Record{want}, listed); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestSaveAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stores := []*fixture{f}
	for range 3 { // further replicas, each of which makes the key if it can
		s, err := snapshot.NewStore(f.kube, f.meta, namespace, func() time.Time { return f.now })
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, &fixture{Store: s})
	}
	var wg sync.WaitGroup
	ids := make([]string, 100)
	for i := range ids {
		wg.Go(func() {
			record, err := stores[i%len(stores)].Save(t.Context(), tiers, tier(t), snapshot.Provenance{})
			if err != nil {
				t.Errorf("save %d: %v", i, err)
			}
			ids[i] = record.ID
		})
	}
	wg.Wait()
	records, err := f.List(t.Context(), snapshot.Filter{})
	if err != nil || len(records) != 1 {
		t.Fatalf("%d snapshots, error %v; want 1", len(records), err)
	}
	for i, id := range ids {
		if id != records[0].ID {
			t.Errorf("save %d gave %q, want %q", i, id, records[0].ID)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	t.Parallel()
	big := named("big")
	big.Object["spec"] = map[string]any{"data": strings.Repeat("x", 17<<20)}
	noUID := named("x")
	noUID.SetUID("")
	boom := errors.New("boom")
	cases := map[string]struct {
		obj  *unstructured.Unstructured
		verb string // of the Secret request that fails
		fail error
		want string
		is   error
	}{
		"too large":         {obj: big, want: "too large for a snapshot", is: snapshot.ErrTooLarge},
		"no uid":            {obj: noUID, want: "no uid"},
		"create fails":      {obj: named("x"), verb: "create", fail: boom, want: "save snapshot: boom", is: boom},
		"namespace missing": {obj: named("x"), verb: "create", fail: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, namespace), want: `namespaces "holdfast-system" not found`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if err := f.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tc.verb != "" {
				f.kube.PrependReactor(tc.verb, "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, tc.fail })
			}
			_, err := f.Save(t.Context(), tiers, tc.obj, snapshot.Provenance{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || (tc.is != nil && !errors.Is(err, tc.is)) {
				t.Errorf("Save: %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNotingAnAttemptMayFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.save(t, tier(t), snapshot.Provenance{User: "alice"})
	boom := func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("boom") }
	f.meta.PrependReactor("patch", "secrets", boom)
	f.kube.PrependReactor("patch", "secrets", boom)
	again := f.save(t, tier(t), snapshot.Provenance{User: "bob"})
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestKeyIsSharedAndChecked(t *testing.T) {
	t.Parallel()
	bad := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "holdfast-digest-key", Namespace: namespace}, Data: map[string][]byte{"key": []byte("short")}}
	f := newFixture(t, bad)
	_, err := f.Save(t.Context(), tiers, named("x"), snapshot.Provenance{})
	if err == nil || !strings.Contains(err.Error(), `"holdfast-digest-key"`) || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("Save with a bad key: %v", err)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var all []string
	for i := range 12 {
		f.now = f.now.Add(time.Second)
		obj := named(fmt.Sprintf("t%d", i))
		if i%2 == 1 {
			obj.SetNamespace("odd")
		}
		all = append(all, f.save(t, obj, snapshot.Provenance{}).ID)
	}
	cluster := named("t3")
	cluster.SetNamespace("")
	cluster.SetUID("cluster-wide")
	f.now = f.now.Add(time.Second)
	clusterID := f.save(t, cluster, snapshot.Provenance{}).ID
	cases := map[string]struct {
		list func(ctx context.Context) ([]snapshot.Record, error)
		want []string
	}{
		"by uid": {func(ctx context.Context) ([]snapshot.Record, error) {
			return f.List(ctx, snapshot.Filter{UID: "uid-of-t7"})
		}, []string{all[7]}},
		"by namespace": {func(ctx context.Context) ([]snapshot.Record, error) {
			return f.List(ctx, snapshot.Filter{Namespace: "odd", Name: "t9"})
		}, []string{all[9]}},
		"other resource": {func(ctx context.Context) ([]snapshot.Record, error) {
			return f.List(ctx, snapshot.Filter{Resource: schema.GroupResource{Resource: "x"}})
		}, nil},
		"one object":     {func(ctx context.Context) ([]snapshot.Record, error) { return f.Find(ctx, tiers, "odd", "t3") }, []string{all[3]}},
		"cluster-scoped": {func(ctx context.Context) ([]snapshot.Record, error) { return f.Find(ctx, tiers, "", "t3") }, []string{clusterID}},
		"same name":      {func(ctx context.Context) ([]snapshot.Record, error) { return f.List(ctx, snapshot.Filter{Name: "t3"}) }, []string{clusterID, all[3]}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			records, err := tc.list(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, r := range records {
				ids = append(ids, r.ID)
			}
			if diff := cmp.Diff(tc.want, ids); diff != "" {
				t.Errorf("IDs (-want +got):\n%s", diff)
			}
		})
	}
	records, err := f.List(t.Context(), snapshot.Filter{})
	if err != nil || len(records) != 13 {
		t.Fatalf("List: %d records, %v", len(records), err)
	}
	if records[0].ID != clusterID || records[12].ID != all[0] {
		t.Error("List is not newest first")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	obj := named(strings.Repeat("n", 253))
	obj.SetNamespace(strings.Repeat("s", 63))
	obj.SetUID(types.UID(strings.Repeat("u", 100)))
	gr := schema.GroupResource{Group: strings.Repeat("g", 200) + ".example", Resource: "things"}
	record, err := f.Save(t.Context(), gr, obj, snapshot.Provenance{User: strings.Repeat("x", 4000)})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range f.secretOf(t, record.ID).Labels {
		if len(value) > 63 {
			t.Errorf("label %s has %d characters", key, len(value))
		}
	}
	if found, err := f.Find(t.Context(), gr, obj.GetNamespace(), obj.GetName()); err != nil || len(found) != 1 {
		t.Errorf("Find: %d records, %v", len(found), err)
	}
	if found, err := f.List(t.Context(), snapshot.Filter{UID: obj.GetUID()}); err != nil || len(found) != 1 {
		t.Errorf("List by uid: %d records, %v", len(found), err)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	record := f.save(t, tier(t), snapshot.Provenance{})
	if err := f.SetJournal(t.Context(), record.ID, snapshot.Journal{Operation: "undo", Phase: snapshot.PhaseStarted, User: "alice"}); err != nil {
		t.Fatal(err)
	}
	snap, err := f.Get(t.Context(), record.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := &snapshot.Journal{Operation: "undo", Phase: "started", User: "alice", At: f.now}
	if diff := cmp.Diff(want, snap.Journal); diff != "" || !snap.Journal.Open() {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if err := f.ClearJournal(t.Context(), record.ID); err != nil {
		t.Fatal(err)
	}
	records, err := f.Find(t.Context(), tiers, record.Namespace, record.Name)
	if err != nil || len(records) != 1 || records[0].Journal != nil {
		t.Errorf("after ClearJournal: %+v, %v", records, err)
	}
}

func TestGetUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, id := range []string{"aaaaaaaaaaaaaaaa", "", "../../secrets", "AAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaa1"} {
		if _, err := f.Get(t.Context(), id); !errors.Is(err, snapshot.ErrNotFound) {
			t.Errorf("Get(%q): %v, want ErrNotFound", id, err)
		}
	}
}

func TestRecordPath(t *testing.T) {
	t.Parallel()
	cases := map[string]snapshot.Record{
		"things.example/ns/a/id": {ID: "id", Resource: "things.example", Namespace: "ns", Name: "a"},
		"things.example/a/id":    {ID: "id", Resource: "things.example", Name: "a"},
		"id":                     {ID: "id", Problem: "unreadable"},
	}
	for want, record := range cases {
		if got := record.Path(); got != want {
			t.Errorf("Path: %q, want %q", got, want)
		}
	}
}
