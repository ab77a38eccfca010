// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const (
	flowDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"flows.api.astarte-platform.org","uid":"d-3"%},
		"spec":{"group":"api.astarte-platform.org","names":{"plural":"flows"},"versions":[{"name":"v1alpha2","served":true,"storage":true}]}}`
	someFlow   = `{"apiVersion":"api.astarte-platform.org/v1alpha2","kind":"Flow","metadata":{"name":"flow","namespace":"ns","uid":"%"},"spec":{"astarte":{"name":"one"}}}`
	flowSecret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"NAME","namespace":"ns","uid":"s-NAME","ownerReferences":[{"apiVersion":"api.astarte-platform.org/v1alpha2","kind":"Flow","name":"flow","uid":"OWNER"}]},"data":{"a":"DATA"}}`
)

// What belonged to a Flow that is gone comes back before it, in its latest
// version; what belongs to one that stays is left alone.
func TestKeysOfWhatIsGone(t *testing.T) {
	t.Parallel()
	builtin, err := profile.Builtin("astarte")
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := profile.NewSet(builtin)
	if err != nil {
		t.Fatal(err)
	}
	flow := func(uid string) runtime.Object { return object(t, strings.Replace(someFlow, "%", uid, 1)) }
	definition := func(more string) runtime.Object {
		return object(t, strings.Replace(flowDefinition, "%", more, 1))
	}
	for name, tc := range map[string]struct {
		live []runtime.Object
		want []string
	}{
		"its definition is gone":                {nil, []string{"key", "flow"}},
		"its definition is going":               {[]runtime.Object{definition(marked), flow("f-1")}, []string{"key", "flow"}},
		"it is gone":                            {[]runtime.Object{definition("")}, []string{"key", "flow"}},
		"another has been made in its place":    {[]runtime.Object{definition(""), flow("f-2")}, []string{"key", "flow"}},
		"it is there, and nothing is to happen": {[]runtime.Object{definition(""), flow("f-1")}, []string{"flow"}},
	} {
		r, _ := stuckRescue(t, tc.live...)
		r.Recovery.Profiles = profiles
		ids := map[string]string{}
		save := func(resource schema.GroupResource, what, text string) {
			t.Helper()
			record, err := r.Recovery.Snapshots.Save(t.Context(), resource, object(t, text), snapshot.Provenance{Operation: "record"})
			if err != nil {
				t.Fatal(err)
			}
			ids[record.ID] = what
		}
		secret := func(what, name, owner, data string) {
			save(schema.GroupResource{Resource: "secrets"}, what, strings.NewReplacer("NAME", name, "OWNER", owner, "DATA", data).Replace(flowSecret))
		}
		save(schema.GroupResource{Group: "api.astarte-platform.org", Resource: "flows"}, "flow", strings.Replace(someFlow, "%", "f-1", 1))
		secret("old key", "key", "f-1", "b2xk")
		secret("key", "key", "f-1", "bmV3")
		secret("key of another", "foreign", "f-9", "bmV3")
		secret("key of the Astarte's own", "own", "f-1", "bmV3")
		p := &patient{Namespace: "ns", Name: "one", Object: object(t, terminatingAstarte), Dependents: []recovery.Dependent{
			{Resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Namespace: "ns", Name: "own"},
		}}
		found, err := r.referrers(t.Context(), p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, id := range found {
			got = append(got, ids[id])
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
