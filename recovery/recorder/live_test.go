// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/holdfast-dev/holdfast/config/profile"
)

var plans = schema.GroupResource{Group: "billing.example", Resource: "plans"}

// plan is an object that is served in one version.
func plan(version, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "billing.example/" + version, "kind": "Plan",
		"metadata": map[string]any{"namespace": "shop", "name": name, "uid": "uid-of-" + name},
	}}
}

// plansIn is a client that serves plans in v1 and v2.
func plansIn(objects ...runtime.Object) *dynamicfake.FakeDynamicClient {
	kinds := map[schema.GroupVersionResource]string{plans.WithVersion("v1"): "PlanList", plans.WithVersion("v2"): "PlanList"}
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)
}

// TestLiveReadsAsInstalledNow: a definition that was removed and installed anew
// in another version must not hide what is there.
func TestLiveReadsAsInstalledNow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		versions []string // by which the kind is read, in order; empty is not installed
		want     string
		asked    int
	}{
		"as remembered":                  {versions: []string{"v2"}, want: "v2", asked: 1},
		"in another version by now":      {versions: []string{"v1", "v2"}, want: "v2", asked: 2},
		"not installed any more":         {versions: []string{"v1", ""}, asked: 2},
		"installed as before, and gone":  {versions: []string{"v1", "v1"}, asked: 2},
		"not installed in the beginning": {versions: []string{""}, asked: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			live := NewLive(plansIn(plan("v2", "gold")), nil, DefinerFunc(func(_ context.Context, gr schema.GroupResource) (Kind, bool, error) {
				version := tc.versions[min(asked, len(tc.versions)-1)]
				asked++
				return Kind{Resource: gr.WithVersion(version), Namespaced: true}, version != "", nil
			}))
			o, err := live.Object(t.Context(), profile.Name{Resource: plans, Namespace: "shop", Name: "gold"})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if o != nil {
				got = o.GroupVersionKind().Version
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || asked != tc.asked {
				t.Errorf("asked for the kind %d times, want %d; version (-want +got):\n%s", asked, tc.asked, diff)
			}
		})
	}
}
