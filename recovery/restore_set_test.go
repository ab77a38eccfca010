// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

func TestAnOperatorThatIsNotHelmsIsForSomebodyToBringBack(t *testing.T) {
	t.Parallel()
	built, err := profile.Builtin("astarte")
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(built)
	if err != nil {
		t.Fatal(err)
	}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "astartes.api.astarte-platform.org"},
	}}
	for name, tc := range map[string]struct {
		resource string
		options  RestoreOptions
		there    []runtime.Object
		want     bool
	}{
		"the definition is gone":         {resource: "astartes.api.astarte-platform.org", want: true},
		"the definition is there":        {resource: "astartes.api.astarte-platform.org", there: []runtime.Object{definition}},
		"the release is left out":        {resource: "astartes.api.astarte-platform.org", options: RestoreOptions{Except: []string{"release"}}},
		"only what is plain comes back":  {resource: "astartes.api.astarte-platform.org", options: RestoreOptions{ToNamespace: "other"}},
		"none belongs to what is saved":  {resource: "flows.api.astarte-platform.org"},
		"the profile is not switched on": {resource: "servicetiers.cp.nuodb.com"},
	} {
		kinds := map[schema.GroupVersionResource]string{definitionsResource(): "CustomResourceDefinitionList"}
		r := &Recovery{Profiles: set, Client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, tc.there...)}
		plan := &Plan{Set: &snapshot.SetRecord{Resource: tc.resource}, options: tc.options}
		r.noteByHand(t.Context(), plan)
		got := strings.Join(plan.Notes, "\n")
		if (got != "") != tc.want || tc.want && got != "of its operator only the definitions come back, for no Helm release of it is in the set: apply its other manifests again (Deployment, ServiceAccount, roles, Service, webhook configurations; kubectl apply --server-side -f FILE), now or in another terminal while this waits for its webhooks, 5m0s at most" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
