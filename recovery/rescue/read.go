// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"errors"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// definition is the definition of Astartes, nil if there is none.
func (r *Rescue) definition(ctx context.Context) (*apiextensionsv1.CustomResourceDefinition, error) {
	return r.definitionOf(ctx, Astartes())
}

// definitionOf is the definition of a resource, nil if there is none.
func (r *Rescue) definitionOf(ctx context.Context, gr schema.GroupResource) (*apiextensionsv1.CustomResourceDefinition, error) {
	live, err := r.Recovery.Client.Resource(definitions).Get(ctx, gr.String(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get the definition of %s: %w", gr, err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, crd); err != nil {
		return nil, fmt.Errorf("read the definition of %s: %w", gr, err)
	}
	return crd, nil
}

// served are the versions of crd that can be asked for, the stored one first.
func served(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var versions []string
	for _, stored := range []bool{true, false} {
		for _, v := range crd.Spec.Versions {
			if v.Served && v.Storage == stored {
				versions = append(versions, v.Name)
			}
		}
	}
	return versions
}

// errUnreadable means that an object could be read in no version.
var errUnreadable = errors.New("it can be read in no version")

// resourceOf is what crd defines, in a version.
func resourceOf(crd *apiextensionsv1.CustomResourceDefinition, version string) schema.GroupVersionResource {
	return schema.ParseGroupResource(crd.Name).WithVersion(version)
}

// read is an object of crd in the first version in which it can be read. Without the
// operator's conversion webhook that is the one that it is encoded in, which
// need be neither the stored nor the preferred one. broken says why others fail.
func (r *Rescue) read(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, name types.NamespacedName) (obj *unstructured.Unstructured, broken error, err error) {
	for _, version := range served(crd) {
		live, err := r.Recovery.Client.Resource(resourceOf(crd, version)).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return nil, nil, err
		case err != nil:
			broken = err
		case obj == nil:
			obj = live
		}
	}
	if obj == nil {
		return nil, nil, fmt.Errorf("%w: %w", errUnreadable, broken)
	}
	return obj, broken, nil
}

// all are the names of all objects of crd, in whatever version they can be listed.
func (r *Rescue) all(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) ([]types.NamespacedName, error) {
	var last error
	for _, version := range served(crd) {
		list, err := r.Recovery.Client.Resource(resourceOf(crd, version)).List(ctx, metav1.ListOptions{})
		if err != nil {
			last = err
			continue
		}
		var names []types.NamespacedName
		for i := range list.Items {
			names = append(names, types.NamespacedName{Namespace: list.Items[i].GetNamespace(), Name: list.Items[i].GetName()})
		}
		return names, nil
	}
	return nil, last
}
