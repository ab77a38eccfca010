// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	version := schema.GroupVersion{Group: "billing.example", Version: "v1"}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{version})
	mapper.Add(version.WithKind("Plan"), meta.RESTScopeNamespace)
	mapper.Add(version.WithKind("Region"), meta.RESTScopeRoot)
	stored := func(kind, namespace, name string, going bool) runtime.Object {
		o := &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: version.String(), Kind: kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		}
		if going {
			o.DeletionTimestamp = &metav1.Time{}
		}
		return o
	}
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client := metadatafake.NewSimpleMetadataClient(scheme,
		stored("Plan", "shop", "gold", false), stored("Plan", "shop", "going", true), stored("Region", "", "north", false))
	client.PrependReactor("get", "plans", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.GetAction).GetName() == "broken" {
			return true, nil, errors.New("no answer")
		}
		return false, nil, nil
	})
	targets := &Targets{Mapper: mapper, Metadata: client}
	for name, tc := range map[string]struct {
		resource, namespace, name string
		want                      guard.State
		wantErr                   bool
	}{
		"there":                      {"plans", "shop", "gold", guard.State{Kind: "Plan", Exists: true}, false},
		"in another namespace":       {"plans", "mall", "gold", guard.State{Kind: "Plan"}, false},
		"missing":                    {"plans", "shop", "silver", guard.State{Kind: "Plan"}, false},
		"being deleted":              {"plans", "shop", "going", guard.State{Kind: "Plan", Exists: true, Terminating: true}, false},
		"no namespace":               {"plans", "", "gold", guard.State{Kind: "Plan"}, false},
		"cluster-scoped":             {"regions", "shop", "north", guard.State{Kind: "Region", Clustered: true, Exists: true}, false},
		"cluster-scoped and missing": {"regions", "", "south", guard.State{Kind: "Region", Clustered: true}, false},
		"kind not installed":         {"coupons", "shop", "x", guard.State{}, false},
		"no answer":                  {"plans", "shop", "broken", guard.State{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := targets.Of(t.Context(), guard.Target{
				Resource: schema.GroupResource{Group: "billing.example", Resource: tc.resource}, Namespace: tc.namespace, Name: tc.name,
			})
			if (err != nil) != tc.wantErr {
				t.Errorf("error = %v, want one: %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}
