// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// prepared is everything that creating an object again needs, worked out
// before the old one goes.
type prepared struct {
	// object is what is created.
	object *unstructured.Unstructured
	// status is replayed afterwards; nil if it is not.
	status any
	// changes are the differences from what was saved, for people to read.
	changes []string
}

// prepare works out how saved is created again. coming says that an owner
// will be there by then.
func (r *Recovery) prepare(ctx context.Context, item *Item, saved *unstructured.Unstructured, coming func(metav1.OwnerReference) bool) (*prepared, error) {
	object, status := Clean(saved)
	if item.plan != nil && item.moved() {
		relocate(object, item.Namespace, item.plan.moves)
	}
	if item.target.Mapping != nil {
		object.SetAPIVersion(item.target.Mapping.GroupVersionKind.GroupVersion().String())
	}
	if item.beforeOwner {
		coming = noOwner
	}
	changes, err := r.rebindOwners(ctx, object, coming)
	if err != nil {
		return nil, err
	}
	ready := &prepared{object: object, changes: changes}
	if item.plan != nil {
		dropped, err := r.dropDeadMarks(ctx, item.plan, object)
		if err != nil {
			return nil, err
		}
		ready.changes = append(ready.changes, dropped...)
	}
	if object.GetAPIVersion() != saved.GetAPIVersion() {
		ready.changes = append(ready.changes, fmt.Sprintf("it was saved as %s, which is not served any more, and comes back as %s", saved.GetAPIVersion(), object.GetAPIVersion()))
	}
	if status == nil || !item.options.Status {
		return ready, nil
	}
	apart, err := r.hasStatusSubresource(ctx, item.target)
	if err != nil {
		return nil, err
	}
	if apart {
		ready.status = status
	} else {
		// Without the subresource, the status is content like any other.
		object.Object["status"] = status
	}
	return ready, nil
}

func (r *Recovery) hasStatusSubresource(ctx context.Context, t Target) (bool, error) {
	gvr := t.Mapping.Resource
	list, err := r.Discovery.ServerResourcesForGroupVersionWithContext(ctx, gvr.GroupVersion().String())
	if err != nil {
		return false, fmt.Errorf("look up the subresources of %s: %w", t.resource(), err)
	}
	return slices.ContainsFunc(list.APIResources, func(res metav1.APIResource) bool { return res.Name == gvr.Resource+"/status" }), nil
}

// checkPlace refuses an item whose namespace does not take objects. The API
// server would refuse it as well, but in an undo only after the object is gone.
func (r *Recovery) checkPlace(ctx context.Context, item *Item) error {
	if item.Namespace == "" {
		return nil
	}
	namespaces := r.Client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	ns, err := namespaces.Get(ctx, item.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		item.refuse("its namespace does not exist; create that first: kubectl create namespace %s", item.Namespace)
	case apierrors.IsForbidden(err):
		return nil // the creation itself will tell
	case err != nil:
		return fmt.Errorf("get namespace %q: %w", item.Namespace, err)
	case terminating(ns):
		item.refuse("its namespace is Terminating and takes no objects; wait until it is gone, create it, then restore the object from its snapshot")
	}
	return nil
}
