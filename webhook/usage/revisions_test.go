// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

func feature() guard.Target {
	return guard.Target{Resource: resource("helmfeatures"), Kind: "HelmFeature", Namespace: "cp", Name: "f"}
}

// features is the spec of a tier that names features.
func features(names ...string) map[string]any {
	list := []any{}
	for _, name := range names {
		list = append(list, map[string]any{"name": name})
	}
	return map[string]any{"features": list}
}

// tier is a tier with a history: number and spec, in turns. A spec that is a
// string stands there as it is.
func tier(name string, spec map[string]any, history ...any) *unstructured.Unstructured {
	t := object("ServiceTier", "cp", name, spec)
	var revisions []any
	for pair := range slices.Chunk(history, 2) {
		number, spec := pair[0], pair[1]
		text, ok := spec.(string)
		if !ok {
			raw, err := json.Marshal(spec)
			if err != nil {
				panic(err)
			}
			text = base64.StdEncoding.EncodeToString(raw)
		}
		revisions = append(revisions, map[string]any{"generation": number, "spec": text})
	}
	t.Object["status"] = map[string]any{"history": map[string]any{"revisions": revisions}}
	return t
}

// pinned is a database that pins a tier at a revision.
func pinned(name, tier, revision string) *unstructured.Unstructured {
	return object("Database", "cp", name, map[string]any{"type": map[string]any{"tierRef": map[string]any{"name": tier, "revision": revision}}})
}

type storedCase struct {
	objects []runtime.Object
	want    []guard.Referrer
	wantErr string
}

func storedCases() map[string]storedCase {
	const path = "{.spec.features[*]}"
	old := guard.Referrer{
		Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "cp", Name: "t", Path: path, Stored: "3", PinnedBy: "database cp/db",
	}
	current := guard.Referrer{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "cp", Name: "t", Path: path}
	t3 := func() *unstructured.Unstructured {
		return tier("t", features("g"), int64(2), features("e"), int64(3), features("f"), int64(4), features("g"))
	}
	return map[string]storedCase{
		"nobody pins the old revision": {objects: []runtime.Object{t3()}},
		"pinned":                       {objects: []runtime.Object{t3(), pinned("db", "t", "3")}, want: []guard.Referrer{old}},
		"another revision is pinned":   {objects: []runtime.Object{t3(), pinned("db", "t", "2")}},
		"another tier is pinned":       {objects: []runtime.Object{t3(), pinned("db", "u", "3")}},
		"unpinned use of the tier":     {objects: []runtime.Object{t3(), object("Database", "cp", "db", tierRef("t", ""))}},
		"pinned from another namespace's own tier": {objects: []runtime.Object{
			t3(), object("Database", "b", "db", map[string]any{"type": map[string]any{"tierRef": map[string]any{"name": "t", "revision": "3"}}}),
		}},
		"the first of those that pin it": {
			objects: []runtime.Object{t3(), pinned("z", "t", "3"), pinned("db", "t", "3")}, want: []guard.Referrer{old},
		},
		"the current spec comes first": {
			objects: []runtime.Object{tier("t", features("f"), int64(3), features("f")), pinned("db", "t", "3")}, want: []guard.Referrer{current},
		},
		"in two pinned revisions, the older": {
			objects: []runtime.Object{tier("t", features("g"), int64(10), features("f"), int64(3), features("f")), pinned("db", "t", "3"), pinned("db2", "t", "10")},
			want:    []guard.Referrer{old},
		},
		"unreadable and not pinned": {objects: []runtime.Object{tier("t", features("g"), int64(3), "%"), pinned("db", "t", "4")}},
		"unreadable and pinned":     {objects: []runtime.Object{tier("t", features("g"), int64(3), "%"), pinned("db", "t", "3")}, wantErr: "servicetier cp/t: revision 3"},
		"unreadable number, pinned": {objects: []runtime.Object{tier("t", features("g"), nil, features("f")), pinned("db", "t", "3")}, wantErr: "has no number"},
		"unreadable number, not pinned": {objects: []runtime.Object{
			tier("t", features("g"), nil, features("f")), object("Database", "cp", "db", tierRef("t", "")),
		}},
		"a certain use counts more than what cannot be read": {
			objects: []runtime.Object{tier("s", features("g"), int64(3), "%"), pinned("db2", "s", "3"), t3(), pinned("db", "t", "3")}, want: []guard.Referrer{old},
		},
		"who pins it cannot be read": {
			objects: []runtime.Object{t3(), object("Database", "cp", "odd", map[string]any{"type": map[string]any{"tierRef": int64(5)}})}, wantErr: "database cp/odd",
		},
	}
}

func TestLiveStoredRevisions(t *testing.T) {
	t.Parallel()
	for name, tc := range storedCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live, _ := newLive(t, &resolver{}, tc.objects...)
			use, err := live.Of(t.Context(), feature(), -1)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("Of() = %+v, %v, want an error with %q", use, err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, use.First); diff != "" || use.Total != len(tc.want) {
				t.Errorf("total %d, referrers (-want +got):\n%s", use.Total, diff)
			}
		})
	}
}

const chainProfile = `apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: chain}
spec:
  resources:
  - resource: leaves.cp.nuodb.com
    referencedBy: [{resource: twigs.cp.nuodb.com, path: '{.spec.leaf}'}]
  - resource: twigs.cp.nuodb.com
    referencedBy: [{resource: boughs.cp.nuodb.com, path: '{.spec.twig}'}, {resource: twigs.cp.nuodb.com, path: '{.spec.twig}'}]
    storedRevisions: &stored {path: '{.status.revisions[*]}', number: '{.number}', spec: '{.spec}', encoding: json}
  - resource: boughs.cp.nuodb.com
    referencedBy: [{resource: roots.cp.nuodb.com, path: '{.spec.bough}'}]
    storedRevisions: *stored
`

// A pin by an older revision counts if that revision is pinned itself.
func TestPinsOfPins(t *testing.T) {
	t.Parallel()
	profiles, err := profile.Parse([]byte(chainProfile))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(profiles...)
	if err != nil {
		t.Fatal(err)
	}
	ref := func(name, revision string) map[string]any { return map[string]any{"name": name, "revision": revision} }
	with := func(kind, name string, spec map[string]any, number string, old map[string]any) *unstructured.Unstructured {
		o := object(kind, "ns", name, spec)
		o.Object["status"] = map[string]any{"revisions": []any{map[string]any{"number": number, "spec": old}}}
		return o
	}
	twig := with("Twig", "twig", nil, "1", map[string]any{"leaf": "leaf"})
	bough := func(pins string) *unstructured.Unstructured {
		return with("Bough", "bough", nil, "2", map[string]any{"twig": ref("twig", pins)})
	}
	twice := bough("1")
	twice.Object["status"] = map[string]any{"revisions": []any{
		map[string]any{"number": "2", "spec": map[string]any{"twig": ref("twig", "1")}},
		map[string]any{"number": "3", "spec": map[string]any{"twig": ref("twig", "7")}},
	}}
	root := func(pins string) *unstructured.Unstructured {
		return object("Root", "ns", "root", map[string]any{"bough": ref("bough", pins)})
	}
	// Two older revisions that pin each other, and nothing else does.
	ring := func(name, other string) *unstructured.Unstructured {
		return with("Twig", name, nil, "1", map[string]any{"leaf": "leaf", "twig": ref(other, "1")})
	}
	tests := map[string]struct {
		twigs, boughs, roots []*unstructured.Unstructured
		want                 []string
	}{
		"all the way":                              {twigs: of(twig), boughs: of(bough("1")), roots: of(root("2")), want: []string{"twig ns/twig (1, bough ns/bough)"}},
		"the last link is missing":                 {twigs: of(twig), boughs: of(bough("1"))},
		"the last link pins another":               {twigs: of(twig), boughs: of(bough("1")), roots: of(root("3"))},
		"the middle link pins another":             {twigs: of(twig), boughs: of(bough("3")), roots: of(root("2"))},
		"the middle link pins nothing":             {twigs: of(twig), boughs: of(bough("")), roots: of(root("2"))},
		"another revision of the middle is pinned": {twigs: of(twig), boughs: of(twice), roots: of(root("3"))},
		"they only pin each other":                 {twigs: of(ring("a", "b"), ring("b", "a"))},
		"an older revision pins its own":           {twigs: of(ring("a", "a"))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &view{plan: newPlan(set), tables: map[schema.GroupResource]*table{}}
			for plural, objects := range map[string][]*unstructured.Unstructured{"twigs": tc.twigs, "boughs": tc.boughs, "roots": tc.roots} {
				k := v.plan.kinds[resource(plural)]
				v.tables[k.resource] = newTable(k)
				for _, o := range objects {
					v.tables[k.resource].set(k.read(o))
				}
			}
			use, err := v.use(guard.Target{Resource: resource("leaves"), Kind: "Leaf", Namespace: "ns", Name: "leaf"}, -1)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range use.First {
				got = append(got, r.String()+" ("+r.Stored+", "+r.PinnedBy+")")
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("referrers (-want +got):\n%s", diff)
			}
		})
	}
}

func of(objects ...*unstructured.Unstructured) []*unstructured.Unstructured { return objects }
