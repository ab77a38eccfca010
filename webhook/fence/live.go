// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Live asks the API server about definitions, and about instances whatever the
// counts of those that follow them do not know.
type Live struct {
	Metadata metadata.Interface
	CRDs     apiextensions.Interface
	// Counts are kept up to date by watches; known is false while they are not.
	Counts func(gr schema.GroupResource) (objects map[string]int, known bool)
	// Instances looks in every version that is served.
	Instances guard.Instances
}

// Definition implements Definitions.
func (l Live) Definition(ctx context.Context, name string) (metav1.Object, error) {
	gvr := apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	return l.Metadata.Resource(gvr).Get(ctx, name, metav1.GetOptions{})
}

// Existing implements Instances.
func (l Live) Existing(ctx context.Context, name string) (guard.Existing, error) {
	if objects, known := l.Counts(schema.ParseGroupResource(name)); known {
		existing := guard.Existing{Namespaces: slices.Sorted(maps.Keys(objects))}
		existing.Namespaces = slices.DeleteFunc(existing.Namespaces, func(n string) bool { return n == "" })
		for _, n := range objects {
			existing.Total += n
		}
		return existing, nil
	}
	crd, err := l.CRDs.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return guard.Existing{}, err
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		return guard.Existing{}, err
	}
	return l.Instances.Of(ctx, &unstructured.Unstructured{Object: object})
}
