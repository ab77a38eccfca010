// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

func resource(name string) schema.GroupResource {
	return schema.GroupResource{Group: "cp.nuodb.com", Resource: name}
}

func nuodb(t *testing.T) *profile.Set {
	t.Helper()
	p, err := profile.Builtin("nuodb")
	if err != nil {
		t.Fatal(err)
	}
	set, err := profile.NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// resolver answers with v1beta1 for everything but what is missing or broken.
type resolver struct {
	missing map[string]bool
	broken  map[string]bool
	// versions are given out one after the other, the last one for good.
	versions []string
}

func (r *resolver) Resolve(_ context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	if r.broken[gr.Resource] {
		return schema.GroupVersionResource{}, false, errors.New("no answer about " + gr.Resource)
	}
	version := "v1beta1"
	if len(r.versions) > 0 {
		version = r.versions[0]
		if len(r.versions) > 1 {
			r.versions = r.versions[1:]
		}
	}
	return gr.WithVersion(version), !r.missing[gr.Resource], nil
}

func object(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cp.nuodb.com/v1beta1", "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name, "uid": namespace + name},
		"spec":     spec,
	}}
}

// tierRef is a spec that names a tier, in namespace unless that is empty.
func tierRef(name, namespace string) map[string]any {
	ref := map[string]any{"name": name}
	if namespace != "" {
		ref["namespace"] = namespace
	}
	return map[string]any{"type": map[string]any{"tierRef": ref}}
}

func newLive(t *testing.T, r *resolver, objects ...runtime.Object) (*Live, *fake.FakeDynamicClient) {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{}
	for plural, kind := range map[string]string{"databases": "DatabaseList", "domains": "DomainList", "servicetiers": "ServiceTierList"} {
		for _, version := range []string{"v1beta1", "v1"} {
			kinds[resource(plural).WithVersion(version)] = kind
		}
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)
	return &Live{Profiles: nuodb(t), Client: client, Kinds: r}, client
}

func tierT() guard.Target {
	return guard.Target{Resource: resource("servicetiers"), Kind: "ServiceTier", Namespace: "cp", Name: "t"}
}

func names(use guard.Use) []string {
	var got []string
	for _, r := range use.First {
		got = append(got, r.String())
	}
	return got
}

func TestLive(t *testing.T) {
	t.Parallel()
	deleted := object("Database", "cp", "going", tierRef("t", ""))
	if err := unstructured.SetNestedField(deleted.Object, "2026-01-01T00:00:00Z", "metadata", "deletionTimestamp"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		objects         []runtime.Object
		resolver        resolver
		target          guard.Target
		want            []string
		wantTerminating int
		wantErr         string
	}{
		"nobody":                 {target: tierT()},
		"same namespace":         {objects: []runtime.Object{object("Database", "cp", "db", tierRef("t", ""))}, target: tierT(), want: []string{"database cp/db"}},
		"other namespace meant":  {objects: []runtime.Object{object("Database", "b", "db", tierRef("t", ""))}, target: tierT()},
		"across namespaces":      {objects: []runtime.Object{object("Database", "b", "db", tierRef("t", "cp"))}, target: tierT(), want: []string{"database b/db"}},
		"names only begin alike": {objects: []runtime.Object{object("Database", "cp", "db", tierRef("t2", ""))}, target: tierT()},
		"sorted by kind, namespace, name": {
			objects: []runtime.Object{
				object("Domain", "cp", "a", tierRef("t", "")), object("Database", "cp", "b", tierRef("t", "")),
				object("Database", "cp", "a", tierRef("t", "")), object("Database", "b", "z", tierRef("t", "cp")),
			},
			target: tierT(), want: []string{"database b/z", "database cp/a", "database cp/b", "domain cp/a"},
		},
		"being deleted still counts": {objects: []runtime.Object{deleted}, target: tierT(), want: []string{"database cp/going"}, wantTerminating: 1},
		"a kind is not installed":    {resolver: resolver{missing: map[string]bool{"domains": true}}, objects: []runtime.Object{object("Database", "cp", "db", tierRef("t", ""))}, target: tierT(), want: []string{"database cp/db"}},
		"a kind cannot be known":     {resolver: resolver{broken: map[string]bool{"domains": true}}, target: tierT(), wantErr: "no answer about domains"},
		"an odd reference":           {objects: []runtime.Object{object("Database", "cp", "odd", map[string]any{"type": map[string]any{"tierRef": int64(5)}})}, target: tierT(), wantErr: "database cp/odd"},
		"not guarded":                {objects: []runtime.Object{object("Database", "cp", "db", tierRef("t", ""))}, target: guard.Target{Resource: resource("databases"), Namespace: "cp", Name: "db"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live, _ := newLive(t, &tc.resolver, tc.objects...)
			use, err := live.Of(t.Context(), tc.target, -1)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("Of() error = %v, want it to hold %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(use)); diff != "" {
				t.Errorf("referrers (-want +got):\n%s", diff)
			}
			if use.Total != len(tc.want) || use.Terminating != tc.wantTerminating {
				t.Errorf("total %d, terminating %d", use.Total, use.Terminating)
			}
		})
	}
}

func TestLiveLimit(t *testing.T) {
	t.Parallel()
	var objects []runtime.Object
	for i := range 7 {
		objects = append(objects, object("Database", "cp", fmt.Sprintf("db%d", i), tierRef("t", "")))
	}
	live, _ := newLive(t, &resolver{}, objects...)
	use, err := live.Of(t.Context(), tierT(), 3)
	if err != nil || use.Total != 7 || len(use.First) != 3 {
		t.Errorf("total %d, %d named, %v", use.Total, len(use.First), err)
	}
}

// A 404 for a list must not be taken for "no referrers" while the kind exists.
func TestLiveNotFound(t *testing.T) {
	t.Parallel()
	gone := func(version string) k8stesting.ReactionFunc {
		return func(action k8stesting.Action) (bool, runtime.Object, error) {
			if action.GetResource().Resource == "databases" && action.GetResource().Version == version {
				return true, nil, apierrors.NewNotFound(resource("databases"), "")
			}
			return false, nil, nil
		}
	}
	t.Run("in another version now", func(t *testing.T) {
		t.Parallel()
		db := object("Database", "cp", "db", tierRef("t", ""))
		db.SetAPIVersion("cp.nuodb.com/v1")
		live, client := newLive(t, &resolver{versions: []string{"v1beta1", "v1"}}, db)
		client.PrependReactor("list", "*", gone("v1beta1"))
		use, err := live.Of(t.Context(), tierT(), -1)
		if err != nil || use.Total != 1 {
			t.Errorf("Of() = %+v, %v", use, err)
		}
	})
	t.Run("still there", func(t *testing.T) {
		t.Parallel()
		live, client := newLive(t, &resolver{})
		client.PrependReactor("list", "*", gone("v1beta1"))
		if _, err := live.Of(t.Context(), tierT(), -1); err == nil {
			t.Error("no error although the kind is installed")
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		t.Parallel()
		live, client := newLive(t, &resolver{})
		client.PrependReactor("list", "domains", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(resource("domains"), "", errors.New("no"))
		})
		if _, err := live.Of(t.Context(), tierT(), -1); !apierrors.IsForbidden(err) {
			t.Errorf("Of() error = %v", err)
		}
	})
}
