// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/fake"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

var plans = schema.GroupResource{Group: "billing.example", Resource: "plans"}

// definition is one with stored version v2 and further version v1.
func definition(edit func(*apiextensionsv1.CustomResourceDefinition)) *apiextensionsv1.CustomResourceDefinition {
	crd := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: plans.String()},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: plans.Group, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plans.Resource}, Scope: apiextensionsv1.NamespaceScoped,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true}, {Name: "v2", Served: true, Storage: true}, {Name: "v3"}},
		},
		Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{{Type: "Established", Status: "True"}}},
	}
	if edit != nil {
		edit(crd)
	}
	return crd
}

var (
	conversion = apierrors.NewInternalError(errors.New("conversion webhook failed"))
	missing    = apierrors.NewNotFound(plans, "")
	forbidden  = apierrors.NewForbidden(plans, "", errors.New("no right"))
)

func object(namespace, name string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "billing.example/v1", Kind: "Plan"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	there := func(page int, more string, namespaces ...string) *metav1.PartialObjectMetadataList {
		list := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{Continue: more}}
		for i, n := range namespaces {
			list.Items = append(list.Items, *object(n, fmt.Sprint(page, "-", i)))
		}
		return list
	}
	var none *metav1.PartialObjectMetadataList
	type answer struct {
		list *metav1.PartialObjectMetadataList
		err  error
	}
	tests := map[string]struct {
		reason  string
		edit    func(*apiextensionsv1.CustomResourceDefinition)
		answers map[string][]answer // by version, in order
		want    guard.Existing
		wantErr bool
	}{
		"none": {answers: map[string][]answer{"v2": {{there(0, ""), nil}}}},
		"one":  {answers: map[string][]answer{"v2": {{there(0, "", "b"), nil}}}, want: guard.Existing{Total: 1, Namespaces: []string{"b"}}},
		"of the cluster": {
			answers: map[string][]answer{"v2": {{there(0, "", ""), nil}}}, want: guard.Existing{Total: 1},
		},
		"several pages": {
			answers: map[string][]answer{"v2": {{there(0, "x", "b"), nil}, {there(1, "", "a", "b"), nil}}},
			want:    guard.Existing{Total: 3, Namespaces: []string{"a", "b"}},
		},
		"counting interrupted": {
			reason:  "one is enough to refuse",
			answers: map[string][]answer{"v2": {{there(0, "x", "b"), nil}, {none, conversion}}},
			want:    guard.Existing{Total: 1, More: true, Namespaces: []string{"b"}},
		},
		"stored version unreadable": {
			answers: map[string][]answer{"v2": {{none, conversion}}, "v1": {{there(0, "", "a"), nil}}},
			want:    guard.Existing{Total: 1, Namespaces: []string{"a"}},
		},
		"no version readable": {
			answers: map[string][]answer{"v2": {{none, conversion}}, "v1": {{none, context.DeadlineExceeded}}},
			want:    guard.Existing{Unreadable: conversion.Error()},
		},
		"no version served": {
			edit: func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions = c.Spec.Versions[2:] },
			want: guard.Existing{Unreadable: "no version is served"},
		},
		"not served yet": {
			reason:  "it was, and will be",
			answers: map[string][]answer{"v2": {{none, missing}}, "v1": {{none, missing}}},
			want:    guard.Existing{Unreadable: missing.Error()},
		},
		"never served": {
			edit:    func(c *apiextensionsv1.CustomResourceDefinition) { c.Status.Conditions = nil },
			answers: map[string][]answer{"v2": {{none, missing}}},
		},
		"no right": {reason: "another version would not help", answers: map[string][]answer{"v2": {{none, forbidden}}}, wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := metadatafake.NewSimpleMetadataClient(runtime.NewScheme())
			client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				version := a.GetResource().Version
				left := tc.answers[version]
				if len(left) == 0 {
					t.Errorf("version %s was asked once too often", version)
					return true, nil, errors.New("not expected")
				}
				tc.answers[version] = left[1:]
				if left[0].err != nil {
					return true, nil, left[0].err
				}
				list := &metav1.List{ListMeta: left[0].list.ListMeta}
				for i := range left[0].list.Items {
					list.Items = append(list.Items, runtime.RawExtension{Object: &left[0].list.Items[i]})
				}
				return true, list, nil
			})
			raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition(tc.edit))
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&Live{Metadata: client}).Of(t.Context(), &unstructured.Unstructured{Object: raw})
			if (err != nil) != tc.wantErr {
				t.Fatalf("Of() error = %v (%s)", err, tc.reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("existing (-want +got), %s:\n%s", tc.reason, diff)
			}
		})
	}
}

// resolved is a Resolver with one answer.
type resolved struct {
	version   string
	installed bool
	err       error
}

func (r resolved) Resolve(_ context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	return gr.WithVersion(r.version), r.installed, r.err
}

func TestIn(t *testing.T) {
	t.Parallel()
	cluster := definition(func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Scope = apiextensionsv1.ClusterScoped })
	tests := map[string]struct {
		kinds   resolved
		crd     *apiextensionsv1.CustomResourceDefinition
		faults  map[string]error // by version
		want    []string
		wantErr string
	}{
		"some":                    {kinds: resolved{version: "v2", installed: true}, want: []string{"a", "b"}},
		"not installed":           {},
		"not looked up":           {kinds: resolved{err: errors.New("no answer")}, wantErr: "no answer"},
		"unreadable in one":       {kinds: resolved{version: "v2", installed: true}, crd: definition(nil), faults: map[string]error{"v2": conversion}, want: []string{"a", "b"}},
		"unreadable in all":       {kinds: resolved{version: "v2", installed: true}, crd: definition(nil), faults: map[string]error{"v2": conversion, "v1": missing}, wantErr: "conversion webhook failed"},
		"no right":                {kinds: resolved{version: "v2", installed: true}, crd: definition(nil), faults: map[string]error{"v2": forbidden}, wantErr: "no right"},
		"of the cluster":          {kinds: resolved{version: "v2", installed: true}, crd: cluster, faults: map[string]error{"v2": missing}},
		"gone in the meantime":    {kinds: resolved{version: "v2", installed: true}, faults: map[string]error{"v2": missing}},
		"unreadable, and no kind": {kinds: resolved{version: "v2", installed: true}, faults: map[string]error{"v2": conversion}, wantErr: "conversion webhook failed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kinds := map[schema.GroupVersionResource]string{plans.WithVersion("v1"): "PlanList", plans.WithVersion("v2"): "PlanList"}
			var stored []runtime.Object
			for _, version := range []string{"v1", "v2"} {
				for _, key := range []string{"shop/b", "shop/a", "mall/c"} {
					namespace, name, _ := strings.Cut(key, "/")
					stored = append(stored, &unstructured.Unstructured{Object: map[string]any{
						"apiVersion": "billing.example/" + version, "kind": "Plan", "metadata": map[string]any{"namespace": namespace, "name": name},
					}})
				}
			}
			client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, stored...)
			client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				err := tc.faults[a.GetResource().Version]
				return err != nil, nil, err
			})
			crds := definitions.NewClientset()
			if tc.crd != nil {
				crds = definitions.NewClientset(tc.crd)
			}
			live := &Live{Client: client, Definitions: crds, Kinds: tc.kinds}
			objects, err := live.In(t.Context(), "shop", &profile.Guarded{Resource: plans})
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Fatalf("In() error = %v, want %q", err, tc.wantErr)
			}
			var names []string
			for _, o := range objects {
				names = append(names, o.GetName())
			}
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// Nothing in Holdfast's own namespace is guarded, nor even asked for.
func TestOwnNamespaceHoldsNothing(t *testing.T) {
	t.Parallel()
	found, err := (&Live{Own: "hf"}).In(t.Context(), "hf", &profile.Guarded{})
	if err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestOthers(t *testing.T) {
	t.Parallel()
	live := &Live{Definitions: definitions.NewClientset(definition(nil))}
	for name, tc := range map[string]struct {
		gr   schema.GroupResource
		err  error
		want []string
	}{
		"a dead conversion webhook": {gr: plans, err: conversion, want: []string{"v2"}},
		"no right":                  {gr: plans, err: forbidden},
		"a built-in kind":           {gr: schema.GroupResource{Resource: "secrets"}, err: conversion},
		"no definition":             {gr: schema.GroupResource{Group: "other.example", Resource: "others"}, err: conversion},
	} {
		if diff := cmp.Diff(tc.want, live.Others(t.Context(), tc.gr, "v1", tc.err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
