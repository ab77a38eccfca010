// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Names that would be one text with almost any separator are different targets.
func TestTableKeys(t *testing.T) {
	t.Parallel()
	p := newPlan(nuodb(t))
	k := p.kinds[resource("databases")]
	tbl := newTable(k)
	tbl.set(k.read(object("Database", "a", "db", tierRef("b.c", "a"))))
	tbl.set(k.read(object("Database", "a", "db2", tierRef("c", "a.b"))))
	tbl.set(k.read(object("Database", "a", "db3", tierRef("b-c", "a"))))
	v := &view{plan: p, tables: map[schema.GroupResource]*table{k.resource: tbl}}
	for target, want := range map[objectName][]string{
		{"a", "b.c"}: {"database a/db"}, {"a.b", "c"}: {"database a/db2"}, {"a", "b-c"}: {"database a/db3"},
		{"", "b.c"}: {"database a/db"}, {"a", "c"}: nil,
	} {
		use, err := v.use(guard.Target{Resource: resource("servicetiers"), Namespace: target.namespace, Name: target.name}, -1)
		if diff := cmp.Diff(want, names(use)); err != nil || diff != "" {
			t.Errorf("%v: %v (-want +got):\n%s", target, err, diff)
		}
	}
}

// What was put in and taken out again leaves nothing behind.
func TestTableForgets(t *testing.T) {
	t.Parallel()
	k := newPlan(nuodb(t)).kinds[resource("databases")]
	tbl := newTable(k)
	g := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeatable
	for range 3000 {
		name := fmt.Sprintf("db%d", g.IntN(50))
		if g.IntN(3) == 0 {
			tbl.remove(objectName{"a", name})
			continue
		}
		ref := map[string]any{"name": fmt.Sprintf("t%d", g.IntN(5)), "revision": fmt.Sprint(g.IntN(3))}
		// Twice the same target, so that both are taken out once.
		ref["featureOverrides"] = []any{map[string]any{"name": "f"}, map[string]any{"name": "f", "namespace": "a"}}
		tbl.set(k.read(object("Database", "a", name, map[string]any{"type": map[string]any{"tierRef": ref}})))
	}
	if len(tbl.entries) > 50 {
		t.Errorf("%d places for 50 objects", len(tbl.entries))
	}
	for n := range 50 {
		tbl.remove(objectName{"a", fmt.Sprintf("db%d", n)})
	}
	if tbl.len() != 0 || len(tbl.buckets) != 0 || tbl.edges != 0 || len(tbl.odd) != 0 {
		t.Errorf("left: %d objects, %d targets, %d references", tbl.len(), len(tbl.buckets), tbl.edges)
	}
}

func TestTableClusterScoped(t *testing.T) {
	t.Parallel()
	profiles, err := profile.Parse([]byte(`apiVersion: holdfast.dev/v1alpha1
kind: GuardProfile
metadata: {name: regions}
spec:
  resources:
  - resource: regions.cp.nuodb.com
    referencedBy: [{resource: regions.cp.nuodb.com, path: '{.spec.near[*]}'}, {resource: sites.cp.nuodb.com, path: '{.spec.region}'}]
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(profiles...)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlan(set)
	regions, sites := p.kinds[resource("regions")], p.kinds[resource("sites")]
	v := &view{plan: p, tables: map[schema.GroupResource]*table{regions.resource: newTable(regions), sites.resource: newTable(sites)}}
	// It names itself, with a namespace that does not count.
	v.tables[regions.resource].set(regions.read(object("Region", "", "eu", map[string]any{"near": []any{"eu", map[string]any{"name": "eu", "namespace": "x"}}})))
	v.tables[sites.resource].set(sites.read(object("Site", "b", "one", map[string]any{"region": "eu"})))
	v.tables[sites.resource].set(sites.read(object("Site", "a", "two", map[string]any{"region": map[string]any{"name": "eu", "namespace": "elsewhere"}})))
	use, err := v.use(guard.Target{Resource: resource("regions"), Name: "eu"}, -1)
	if want := []string{"site a/two", "site b/one"}; err != nil || !slices.Equal(names(use), want) || use.Total != 2 {
		t.Errorf("use() = %v, %v, want %v", names(use), err, want)
	}
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	p := newPlan(nuodb(t))
	k := p.kinds[resource("databases")]
	tests := map[string]struct {
		target     string
		selectable []string
		want       []string
	}{
		"none":                       {target: "servicetiers"},
		"the name in the reference":  {target: "servicetiers", selectable: []string{".spec.size", ".spec.type.tierRef.name"}, want: []string{"spec.type.tierRef.name"}},
		"the reference is a text":    {target: "servicetiers", selectable: []string{".spec.type.tierRef"}, want: []string{"spec.type.tierRef"}},
		"a list cannot be selected":  {target: "helmfeatures", selectable: []string{".spec.type.tierRef.name"}},
		"another field of it is not": {target: "servicetiers", selectable: []string{".spec.type.tierRef.namespace"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, k.selectors(resource(tc.target), tc.selectable)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
