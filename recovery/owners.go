// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// rebindOwners points the ownerReferences of obj at the objects that now bear
// the owners' names, and drops those whose owner is not there: the garbage
// collector deletes an object whose owner has another UID within milliseconds.
// It returns what it changed, for people to read. coming says that an owner
// will be there by the time obj is created.
func (r *Recovery) rebindOwners(ctx context.Context, obj *unstructured.Unstructured, coming func(metav1.OwnerReference) bool) ([]string, error) {
	var kept []metav1.OwnerReference
	var changes []string
	for _, ref := range obj.GetOwnerReferences() {
		owner, problem, err := r.owner(ctx, obj.GetNamespace(), ref)
		switch {
		case err != nil:
			return nil, fmt.Errorf("look up owner %s %q: %w", ref.Kind, ref.Name, err)
		case owner == nil && coming(ref):
			changes = append(changes, fmt.Sprintf("its owner %s %q comes back first", ref.Kind, ref.Name))
		case owner == nil:
			changes = append(changes, fmt.Sprintf("the reference to its owner %s %q is dropped: %s", ref.Kind, ref.Name, problem))
		default:
			if owner.GetUID() != ref.UID {
				changes = append(changes, fmt.Sprintf("the reference to its owner %s %q is pointed at the one that is there now", ref.Kind, ref.Name))
			}
			ref.UID = owner.GetUID()
			kept = append(kept, ref)
		}
	}
	if kept == nil {
		unstructured.RemoveNestedField(obj.Object, "metadata", "ownerReferences")
	} else {
		obj.SetOwnerReferences(kept)
	}
	return changes, nil
}

// owner is the live object that ref names from namespace, or why there is none.
func (r *Recovery) owner(ctx context.Context, namespace string, ref metav1.OwnerReference) (*unstructured.Unstructured, string, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, fmt.Sprintf("its apiVersion %q is none", ref.APIVersion), nil //nolint:nilerr // a bad reference owns nothing
	}
	mapping, err := r.Mapper.RESTMappingWithContext(ctx, schema.GroupKind{Group: gv.Group, Kind: ref.Kind}, gv.Version)
	if meta.IsNoMatchError(err) {
		return nil, "the cluster does not serve " + ref.APIVersion + " " + ref.Kind, nil
	}
	if err != nil {
		return nil, "", err
	}
	owner, err := r.clientFor(mapping, namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, "it does not exist", nil
	case err != nil:
		return nil, "", err
	case terminating(owner):
		return nil, "it is Terminating", nil
	}
	return owner, "", nil
}
