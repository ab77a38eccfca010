// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/recovery/journal"
)

// errAway means that the old object is not there any more.
var errAway = errors.New("it is gone, and not by this rescue: an operator may have finalized it; see what is left with 'holdfast recovery scan', and bring it back with 'holdfast recovery restore'")

// old is the patient as it is now; it must be the very same object.
func (r *Rescue) old(ctx context.Context, p *patient) (*unstructured.Unstructured, error) {
	live, err := r.client(p).Get(ctx, p.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, errAway
	}
	if err != nil {
		return nil, err
	}
	if live.GetUID() != p.UID {
		return nil, fmt.Errorf("another Astarte of its name was created meanwhile, with UID %s; it is not touched", live.GetUID())
	}
	return live, nil
}

// freeze keeps every operator from finalizing p.
func (r *Rescue) freeze(ctx context.Context, j *journal.Journal, p *patient) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.UID},
		"spec":     map[string]any{maintenance: true},
	})
	if err != nil {
		return err
	}
	return r.past(ctx, j, "freeze", func(ctx context.Context) error {
		live, err := r.old(ctx, p)
		if err != nil {
			return err
		}
		if on, _, _ := unstructured.NestedBool(live.Object, "spec", maintenance); on {
			return nil
		}
		_, err = r.client(p).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
}

// orphan makes the garbage collector take the ownerReferences off all that
// belongs to p, and proves that it has.
func (r *Rescue) orphan(ctx context.Context, p *patient) error {
	live, err := r.old(ctx, p)
	if err != nil {
		return err
	}
	left, err := r.dependents(ctx, p)
	if err != nil {
		return err
	}
	orphaning := func(obj *unstructured.Unstructured) bool {
		return slices.Contains(obj.GetFinalizers(), metav1.FinalizerOrphanDependents)
	}
	if (len(left) > 0 || live.GetDeletionTimestamp() == nil) && !orphaning(live) {
		err := r.client(p).Delete(ctx, p.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &p.UID}, PropagationPolicy: ptr.To(metav1.DeletePropagationOrphan),
		})
		if err != nil {
			return fmt.Errorf("delete it again with the policy Orphan: %w", err)
		}
	}
	var looked time.Time
	return r.wait(ctx, pending{
		step: "orphan", what: "the garbage collector to set free what belongs to " + p.String(), limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			live, err := r.old(ctx, p)
			if err != nil {
				return false, "", err
			}
			if orphaning(live) {
				return false, fmt.Sprintf("%d objects belonged to it", len(left)), nil
			}
			// All kinds are searched, so not with every look.
			if r.Recovery.Now().Sub(looked) < tellEvery {
				return false, fmt.Sprintf("%d objects name it as their owner", len(left)), nil
			}
			looked = r.Recovery.Now()
			if left, err = r.dependents(ctx, p); err != nil {
				return false, "", err
			}
			if len(left) == 0 {
				return true, "", nil
			}
			return false, fmt.Sprintf("%d objects name it as their owner, %s among them", len(left), left[0]), nil
		},
	})
}

// strip removes the finalizers of exactly the object that was frozen and set
// free, with which it goes.
func (r *Rescue) strip(ctx context.Context, j *journal.Journal, p *patient) error {
	step := "strip " + p.String()
	return r.past(ctx, j, "strip", func(ctx context.Context) error {
		live, err := r.old(ctx, p)
		if errors.Is(err, errAway) {
			return nil // this step, begun before, has done it
		}
		if err != nil {
			return err
		}
		if on, _, _ := unstructured.NestedBool(live.Object, "spec", maintenance); !on {
			return fmt.Errorf("%s is not frozen any more; somebody set spec.%s back", p, maintenance)
		}
		if p.Snapshot != "" {
			// The webhook lets an undo have only what is saved as it is.
			if err := r.saveLast(ctx, live); err != nil {
				return err
			}
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": p.UID, "resourceVersion": live.GetResourceVersion(), "finalizers": nil,
			"annotations": map[string]any{v1alpha1.UndoMark: p.UID},
		}})
		if err != nil {
			return err
		}
		_, err = r.client(p).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case apierrors.IsConflict(err):
			return fmt.Errorf("%s: somebody else writes to %s; run the command again: %w", step, p, err)
		}
		return err
	})
}
