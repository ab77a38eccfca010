// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

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
	for i := 0; i < len(history); i += 2 {
		text, ok := history[i+1].(string)
		if !ok {
			raw, err := json.Marshal(history[i+1])
			if err != nil {
				panic(err)
			}
			text = base64.StdEncoding.EncodeToString(raw)
		}
		revisions = append(revisions, map[string]any{"generation": history[i], "spec": text})
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
