// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/profile"
)

var plans = schema.GroupResource{Group: "billing.example", Resource: "plans"}

// plan is an object that is served in one version.
func plan(version string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "billing.example/" + version, "kind": "Plan",
		"metadata": map[string]any{"namespace": "shop", "name": "gold", "uid": "uid-of-gold", "resourceVersion": "1"},
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
			live := NewLive(plansIn(plan("v2")), nil, DefinerFunc(func(_ context.Context, gr schema.GroupResource) (Kind, bool, error) {
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

// TestLiveReadsInAnotherVersion: a conversion webhook that is dead, or does not
// answer, does not hide what is stored in a version that needs none.
func TestLiveReadsInAnotherVersion(t *testing.T) {
	t.Parallel()
	boom := errors.New("conversion webhook failed")
	for name, tc := range map[string]struct {
		others  []string
		fails   string // the version that cannot be read
		want    string
		wantErr string
	}{
		"the first can be read":    {want: "v1"},
		"another can be read":      {others: []string{"v3", "v2"}, fails: "v1", want: "v2"},
		"none other is served":     {fails: "v1", wantErr: "conversion webhook failed"},
		"the others are not there": {others: []string{"v3"}, fails: "v1", wantErr: "conversion webhook failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := plansIn(plan("v1"), plan("v2"))
			client.PrependReactor("get", "plans", func(action clienttesting.Action) (bool, runtime.Object, error) {
				return action.GetResource().Version == tc.fails, nil, boom
			})
			live := NewLive(client, nil, DefinerFunc(func(_ context.Context, gr schema.GroupResource) (Kind, bool, error) {
				return Kind{Resource: gr.WithVersion("v1"), Namespaced: true}, true, nil
			}))
			live.Others = func(_ context.Context, _ schema.GroupResource, version string, err error) []string {
				if version != "v1" || !errors.Is(err, boom) {
					t.Errorf("asked for others than %s because of %v", version, err)
				}
				return tc.others
			}
			o, err := live.Object(t.Context(), profile.Name{Resource: plans, Namespace: "shop", Name: "gold"})
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if err == nil && o.GroupVersionKind().Version != tc.want {
				t.Errorf("read in %s, want %s", o.GroupVersionKind().Version, tc.want)
			}
		})
	}
}
