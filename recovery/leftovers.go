// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// findLeftovers finds what is still there and names an owner that is gone, of
// those that come back or are left out for now: as soon as the owner's kind is
// served again, the garbage collector would delete it.
func (r *Recovery) findLeftovers(ctx context.Context, plan *Plan, leftOut []*Item) error {
	for _, owner := range leftOut {
		if !owner.mayHaveLeft(plan) {
			continue
		}
		live, err := r.live(ctx, owner)
		if err != nil {
			return err
		}
		owner.before = live
	}
	owners := slices.Concat(plan.Items, leftOut)
	for _, item := range plan.Items {
		if item.before == nil || item.Action == ActionRefuse {
			continue
		}
		for _, ref := range item.before.GetOwnerReferences() {
			if slices.ContainsFunc(owners, func(owner *Item) bool { return owner.wasOwner(item, ref) }) {
				item.dead = append(item.dead, ref.UID)
			}
		}
		if len(item.dead) > 0 {
			item.Reason += "; the reference to its owner, which is gone, is taken off first, or the garbage collector would delete it"
		}
	}
	return nil
}

// mayHaveLeft says that something in the plan is there and names i as its owner.
func (i *Item) mayHaveLeft(plan *Plan) bool {
	return slices.ContainsFunc(plan.Items, func(item *Item) bool {
		return item.before != nil && slices.ContainsFunc(item.before.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return i.wasOwner(item, ref) })
	})
}

// wasOwner says that ref, of the object of item, names what bore the name of i
// and is not there any more.
func (i *Item) wasOwner(item *Item, ref metav1.OwnerReference) bool {
	if i.snap == nil || (i.before != nil && i.before.GetUID() == ref.UID) {
		return false
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	same := err == nil && gv.Group == i.groupResource().Group && ref.Kind == i.snap.Kind && ref.Name == i.Name
	return ref.UID == i.uid || (same && (i.Namespace == "" || i.Namespace == item.Namespace))
}

// freeLeftovers takes the references to owners that are gone off what is still
// there, before anything lets the garbage collector see them. It returns the
// item at which it ended, if it did not end well.
func (r *Recovery) freeLeftovers(ctx context.Context, plan *Plan) (*Item, error) {
	for _, item := range plan.Items {
		if len(item.dead) == 0 {
			continue
		}
		err := r.free(ctx, item)
		for apierrors.IsConflict(err) && ctx.Err() == nil {
			err = r.free(ctx, item)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return item, fmt.Errorf("take the reference to its owner, which is gone, off: %w; run the command again", err)
		}
	}
	return nil, nil
}

func (r *Recovery) free(ctx context.Context, item *Item) error {
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(live.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return slices.Contains(item.dead, ref.UID) })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"ownerReferences": kept, "resourceVersion": live.GetResourceVersion(),
	}})
	if err != nil {
		return err
	}
	_, err = r.client(item.target).Patch(ctx, item.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: mergeManager})
	return err
}
