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
	"k8s.io/apimachinery/pkg/types"
)

// findLeftovers finds what is still there of what comes before its owner, and
// names an owner that is gone: as soon as the owner's kind is served again, the
// garbage collector would delete it, and the operator make another.
func findLeftovers(plan *Plan) {
	for _, item := range plan.Items {
		if !item.beforeOwner || item.before == nil || item.Action == ActionRefuse {
			continue
		}
		for _, owner := range plan.Items {
			gone := owner.before == nil || owner.before.GetUID() != owner.uid
			named := slices.ContainsFunc(item.before.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner.uid })
			if gone && named {
				item.dead = append(item.dead, owner.uid)
				item.Reason += "; the reference to its owner, which is gone, is taken off first, or the garbage collector would delete it"
			}
		}
	}
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
