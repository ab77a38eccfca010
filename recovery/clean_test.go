// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/recovery/snapshot/snapshottest"
)

// object reads a JSON or YAML object.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return obj
}

func read(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, string(data))
}

const (
	// cleanTier and tierHistory are what both fixtures of a tier hold.
	cleanTier = `apiVersion: cp.nuodb.com/v1beta1
kind: ServiceTier
metadata:
  name: n0.small
  namespace: nuodb-cp-system
  finalizers: [cp.nuodb.com/placeholder-finalizer]
  annotations:
    a: b
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"cp.nuodb.com/v1beta1","kind":"ServiceTier","metadata":{"annotations":{},"finalizers":["cp.nuodb.com/placeholder-finalizer"],"name":"n0.small","namespace":"nuodb-cp-system"},"spec":{"features":[{"name":"small-resources"}],"updateStrategy":{"type":"Immediate"}}}
spec:
  features: [{name: small-resources, revision: "3"}]
  updateStrategy: {type: CanaryRollout}`
	tierHistory = `  history:
    revisions:
    - {creationTimestamp: "2026-11-20T00:00:00Z", generation: 2, spec: eyJmZWF0dXJlcyI6W3sibmFtZSI6InNtYWxsLXJlc291cmNlcyIsInJldmlzaW9uIjoiMyJ9XSwidXBkYXRlU3RyYXRlZ3kiOnsidHlwZSI6IkltbWVkaWF0ZSJ9fQo=}
    - {creationTimestamp: "2026-11-20T00:00:00Z", generation: 3, spec: eyJmZWF0dXJlcyI6W3sibmFtZSI6InNtYWxsLXJlc291cmNlcyIsInJldmlzaW9uIjoiMyJ9XSwidXBkYXRlU3RyYXRlZ3kiOnsidHlwZSI6IkltbWVkaWF0ZSJ9fQo=}`
)

func TestClean(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason     string
		saved      *unstructured.Unstructured
		want       string
		wantStatus string
	}{
		"a Terminating tier": {
			saved: read(t, "testdata/tier-terminating.json"),
			want:  cleanTier, wantStatus: tierHistory,
		},
		"every system field": {
			reason: "each of them is either refused or another object's",
			saved: object(t, `
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  generateName: a-
  uid: u
  resourceVersion: "1"
  generation: 2
  creationTimestamp: "2026-01-01T00:00:00Z"
  deletionTimestamp: "2026-01-01T00:00:00Z"
  deletionGracePeriodSeconds: 0
  selfLink: /x
  managedFields: [{manager: x}]
  labels: {a: b}
data: {uid: kept, resourceVersion: kept}`),
			want: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, generateName: a-, labels: {a: b}}, data: {uid: kept, resourceVersion: kept}}`,
		},
		"finalizers of the deletion": {
			reason: "nobody would ever remove them from the new object",
			saved:  object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, finalizers: [foregroundDeletion, x/y, orphan]}}`),
			want:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, finalizers: [x/y]}}`,
		},
		"only finalizers of the deletion": {
			saved: object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, finalizers: [foregroundDeletion]}}`),
			want:  `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
		},
		"mark of an undo": {
			saved: object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {holdfast.dev/undo: u, a: b}}}`),
			want:  `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {a: b}}}`,
		},
		"last-applied of an export, with the uid": {
			reason: "the next apply of the user's manifest would fail",
			saved:  object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"uid":"u"}}'}}}`),
			want:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
		},
		"last-applied of an export, with the version": {
			saved: object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"resourceVersion":"7"}}'}}}`),
			want:  `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
		},
		"last-applied that only speaks of a uid": {
			saved: object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"name":"a"},"data":{"uid":"u"}}'}}}`),
			want:  `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"name":"a"},"data":{"uid":"u"}}'}}}`,
		},
		"a tier as the manual exports it": {
			saved: read(t, "testdata/tier-exported.yaml"),
			want:  cleanTier, wantStatus: tierHistory,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := tc.saved.DeepCopy()
			got, status := Clean(tc.saved)
			if diff := cmp.Diff(object(t, tc.want).Object, got.Object); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			var want any
			if tc.wantStatus != "" {
				want = object(t, "apiVersion: v1\nkind: X\nstatus:\n"+tc.wantStatus).Object["status"]
			}
			if diff := cmp.Diff(want, status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tc.saved); diff != "" {
				t.Errorf("Clean changed what was saved:\n%s", diff)
			}
		})
	}
}

// TestRoundTrip saves random objects, reads them back and compares what would
// be created with what was there.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	kube, meta := snapshottest.Clients(t.Context())
	store, err := snapshot.NewStore(kube, meta, "holdfast-system", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // test data, and to be repeatable
	gr := schema.GroupResource{Group: "example.com", Resource: "things"}
	for i := range 300 {
		obj := randomObject(random, i)
		record, err := store.Save(t.Context(), gr, obj, snapshot.Provenance{})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := store.Get(t.Context(), record.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(obj, snap.Object); diff != "" {
			t.Fatalf("object %d changed in the store (-saved +read):\n%s", i, diff)
		}
		restored, status := Clean(snap.Object)
		for _, field := range []string{"labels", "annotations", "finalizers", "ownerReferences", "name", "namespace"} {
			want, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "metadata", field)
			got, _, _ := unstructured.NestedFieldNoCopy(restored.Object, "metadata", field)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("object %d: metadata.%s (-before +after):\n%s", i, field, diff)
			}
		}
		if diff := cmp.Diff(obj.Object["spec"], restored.Object["spec"]); diff != "" {
			t.Fatalf("object %d: spec (-before +after):\n%s", i, diff)
		}
		if diff := cmp.Diff(obj.Object["status"], status); diff != "" {
			t.Fatalf("object %d: status (-before +after):\n%s", i, diff)
		}
		if got := len(restored.Object["metadata"].(map[string]any)); got != 2+present(obj) {
			t.Fatalf("object %d keeps system fields: %v", i, restored.Object["metadata"])
		}
	}
}

// present counts the optional fields of obj's metadata that a restore keeps.
func present(obj *unstructured.Unstructured) int {
	n := 0
	for _, field := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
		if _, ok := obj.Object["metadata"].(map[string]any)[field]; ok {
			n++
		}
	}
	return n
}

func randomObject(r *rand.Rand, i int) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Thing",
		"metadata": map[string]any{
			"name": fmt.Sprintf("thing-%d", i), "namespace": "ns", "uid": fmt.Sprintf("uid-%d", i),
			"resourceVersion": fmt.Sprint(r.IntN(1e6)), "generation": int64(r.IntN(9)), "creationTimestamp": "2026-01-01T00:00:00Z",
		},
		"spec": randomMap(r, 4),
	}}
	if r.IntN(2) == 0 {
		obj.Object["status"] = randomMap(r, 3)
	}
	if r.IntN(2) == 0 {
		obj.SetLabels(map[string]string{randomText(r): randomText(r)})
	}
	if r.IntN(2) == 0 {
		obj.SetAnnotations(map[string]string{randomText(r): randomText(r), "b": ""})
	}
	if r.IntN(2) == 0 {
		obj.SetFinalizers([]string{"example.com/" + randomText(r), "b"})
	}
	if r.IntN(2) == 0 {
		obj.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u"}})
	}
	return obj
}

func randomMap(r *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range r.IntN(5) {
		m[randomText(r)] = randomValue(r, depth-1)
	}
	return m
}

func randomValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return r.Int64() - r.Int64()
	case n == 3:
		return r.NormFloat64() * 1e3
	case n == 4 && depth > 0:
		return randomMap(r, depth)
	case n == 5 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomValue(r, depth-1))
		}
		return list
	default:
		return randomText(r)
	}
}

func randomText(r *rand.Rand) string {
	alphabet := []rune(`ab/._-"\<>&é漢😀` + "\n\t\u2028\x01 ")
	var text []rune
	for range r.IntN(12) {
		text = append(text, alphabet[r.IntN(len(alphabet))])
	}
	return string(text)
}

func TestPlanSort(t *testing.T) {
	t.Parallel()
	item := func(name string, order int32, owners ...string) *Item {
		i := &Item{Resource: "r", Name: name, uid: uid(name)}
		i.options.Order = order
		for _, o := range owners {
			i.owners = append(i.owners, uid(o))
		}
		return i
	}
	cases := map[string]struct {
		items []*Item
		want  string
	}{
		"by order, then name":     {[]*Item{item("b", 20), item("z", 10), item("a", 20)}, `["z","a","b"]`},
		"owners first":            {[]*Item{item("a", 0, "c"), item("b", 0), item("c", 0, "d"), item("d", 0)}, `["d","c","a","b"]`},
		"owners against order":    {[]*Item{item("a", 1, "z"), item("z", 2)}, `["z","a"]`},
		"owners that are missing": {[]*Item{item("b", 0, "x"), item("a", 0)}, `["a","b"]`},
		"owners in a circle":      {[]*Item{item("b", 0, "a"), item("a", 0, "b")}, `["b","a"]`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := &Plan{Items: tc.items}
			plan.sort()
			var names []string
			for _, i := range plan.Items {
				names = append(names, i.Name)
			}
			got, err := json.Marshal(names)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
