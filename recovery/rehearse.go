// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// rehearse tries the writes of an undo without effect, and refuses item if the
// API server would refuse one of them: an object must not be removed that
// cannot be created again.
func (r *Recovery) rehearse(ctx context.Context, item *Item, live *unstructured.Unstructured, ready *prepared) error {
	strip, err := stripPatch(live)
	if err != nil {
		return err
	}
	client, dryRun := r.client(item.target), []string{metav1.DryRunAll}
	tries := []struct {
		what string
		do   func() error
	}{
		{"removing its finalizers", func() error {
			_, err := client.Patch(ctx, item.Name, types.MergePatchType, strip, metav1.PatchOptions{DryRun: dryRun, FieldManager: fieldManager})
			return err
		}},
		{"creating it again", func() error {
			_, err := client.Create(ctx, understudy(ready.object), metav1.CreateOptions{DryRun: dryRun, FieldManager: fieldManager})
			return err
		}},
		{"replaying its status", func() error {
			if ready.status == nil {
				return nil
			}
			_, err := client.UpdateStatus(ctx, live, metav1.UpdateOptions{DryRun: dryRun, FieldManager: fieldManager})
			return err
		}},
	}
	for _, try := range tries {
		err := try.do()
		var answer apierrors.APIStatus
		switch {
		case err == nil, apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
			// Another one is at work on the object; the undo itself sees to that.
		case wantsSnapshot(err):
			// The webhook lets an undo have only what is saved, and the undo
			// saves it right before. Here nothing may be written.
		case errors.As(err, &answer):
			item.refuse("the API server would refuse %s: %v", try.what, err)
			return nil
		default:
			return fmt.Errorf("rehearse %s of %s: %w", try.what, item.target, err)
		}
	}
	return nil
}

// wantsSnapshot says that Holdfast's webhook refused the removal of finalizers
// for no other reason than that there is no snapshot yet.
func wantsSnapshot(err error) bool {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || answer.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(answer.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == "HoldfastFinalizers" && c.Field == "metadata.annotations["+v1alpha1.UndoMark+"]"
	})
}

// understudy is obj under a name that is free: the object still bears its own.
func understudy(obj *unstructured.Unstructured) *unstructured.Unstructured {
	const suffix = 6
	name := obj.GetName()
	trial := obj.DeepCopy()
	trial.SetName(strings.TrimRight(name[:min(len(name), 253-suffix)], "-.") + "-" + utilrand.String(suffix-1))
	return trial
}
