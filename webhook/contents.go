// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// savers is how many objects of a namespace or a definition are saved at a time.
const savers = 32

// saveContents saves the guarded objects of a namespace before passed, an
// allow, is given: once it is Terminating, the right to read them may be the
// first thing that goes.
func (h *Handler) saveContents(ctx context.Context, req admission.Request, r guard.Request, passed outcome) outcome {
	if isDryRun(req) {
		return passed
	}
	var total atomic.Int64
	for _, guarded := range h.Profiles.Resources() {
		if guarded.Snapshot == v1alpha1.SnapshotNone {
			continue
		}
		n, err := h.saveAll(ctx, req, guarded, r.Old.GetName(), "its namespace was deleted")
		total.Add(n)
		if err == nil {
			continue
		}
		if guarded.Snapshot != v1alpha1.SnapshotBestEffort && guarded.Mode == v1alpha1.ModeEnforce {
			return h.couldNot(guarded, "save what "+r.Target().String()+" holds first", err)
		}
		passed.why = err.Error()
		if guarded.Mode != v1alpha1.ModeAudit && !passed.silent(r) {
			passed.response.Warnings = append(passed.response.Warnings,
				asWarnings(fmt.Sprintf("could not save all that %s holds before its deletion: %v", r.Target(), err))...)
		}
	}
	if n := total.Load(); n > 0 {
		passed.snapshot = fmt.Sprintf("%d objects", n)
		if passed.silent(r) {
			return passed
		}
		passed.response.Warnings = append(passed.response.Warnings,
			asWarnings(fmt.Sprintf("saved %d guarded objects of %s before its deletion; list them with: holdfast recovery list -n %s", n, r.Target(), r.Old.GetName()))...)
	}
	return passed
}

// saveInstances saves all objects of a definition before passed, an allow, is
// given: the API server deletes them straight in its storage.
func (h *Handler) saveInstances(ctx context.Context, req admission.Request, r guard.Request, passed outcome) outcome {
	crd, ok := h.Profiles.CRD(r.Old.GetName())
	if !ok {
		return passed
	}
	guarded, ok := h.Profiles.Guarded(crd.Of)
	if !ok {
		of := crd.Guarded
		of.Resource = crd.Of
		guarded = &of
	}
	if isDryRun(req) || guarded.Snapshot == v1alpha1.SnapshotNone || r.Old.GetDeletionTimestamp() != nil {
		return passed
	}
	n, err := h.saveAll(ctx, req, guarded, "", "its definition was deleted")
	switch {
	case err == nil:
	case guarded.Snapshot != v1alpha1.SnapshotBestEffort:
		return h.couldNot(guarded, "save the instances of "+r.Target().String()+" first", err)
	default:
		passed.why = err.Error()
		passed.response.Warnings = append(passed.response.Warnings,
			asWarnings(fmt.Sprintf("could not save all instances of %s before its deletion: %v", r.Target(), err))...)
	}
	if n > 0 && !passed.silent(r) {
		passed.response.Warnings = append(passed.response.Warnings,
			asWarnings(fmt.Sprintf("saved %d instances of %s before its deletion; list them with: holdfast recovery list %s", n, r.Target(), crd.Of))...)
	}
	return passed
}

// saveAll saves the objects of one resource in a namespace, or in all of them,
// and counts them.
func (h *Handler) saveAll(ctx context.Context, req admission.Request, guarded *profile.Guarded, namespace, reason string) (int64, error) {
	if h.Contents == nil {
		return 0, errors.New("no way to list them")
	}
	objects, err := h.Contents.In(ctx, namespace, guarded)
	if err != nil {
		return 0, fmt.Errorf("list %s: %w", guarded.Resource, err)
	}
	var saved atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(savers)
	for _, object := range objects {
		group.Go(func() error {
			err := h.saveOne(ctx, req, guarded, object, reason)
			if err == nil {
				saved.Add(1)
			}
			return err
		})
	}
	err = group.Wait()
	return saved.Load(), err
}

func (h *Handler) saveOne(ctx context.Context, req admission.Request, guarded *profile.Guarded, object *unstructured.Unstructured, reason string) error {
	_, err := h.Snapshots.Save(ctx, guarded.Resource, object, snapshot.Provenance{
		Operation:     "delete",
		User:          req.UserInfo.Username,
		RequestUID:    string(req.UID),
		Profile:       guarded.Profile,
		Reason:        reason,
		RestoreStatus: guarded.Restore.Status,
		RestoreOrder:  guarded.Restore.Order,
	})
	h.Metrics.saved(err)
	return err
}
