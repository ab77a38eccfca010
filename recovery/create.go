// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// errTaken means that somebody else has created an object of the same name.
var errTaken = errors.New("somebody else has created an object of its name meanwhile")

// createAgain creates object, and tries again until ctx ends for as long as
// what is in the way may pass. One that another run of the same recovery has
// created is as good.
func (r *Recovery) createAgain(ctx context.Context, item *Item, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	pause := newPause()
	for {
		created, err := r.client(item.target).Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			created, err = r.inPlace(ctx, item, err)
		}
		if err == nil || !worthRetrying(err) {
			return created, err
		}
		if !rest(ctx, pause) {
			return nil, err
		}
	}
}

// newPause is how long to wait between two tries: little at first, for an
// object may be away meanwhile.
func newPause() *wait.Backoff {
	return &wait.Backoff{Duration: 5 * time.Millisecond, Factor: 2, Steps: 1 << 10, Cap: time.Second}
}

// rest waits for the next try, and says whether there may be one.
func rest(ctx context.Context, pause *wait.Backoff) bool {
	timer := time.NewTimer(pause.Step())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// errGoing means that the old object is on its way out.
var errGoing = errors.New("the old object is still there")

// inPlace is the object that was in the way of a creation, if it is the one
// to be created.
func (r *Recovery) inPlace(ctx context.Context, item *Item, exists error) (*unstructured.Unstructured, error) {
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: %w", errGoing, exists)
	case err != nil:
		return nil, err
	case terminating(live):
		return nil, fmt.Errorf("%w: %w", errGoing, exists)
	case wrote(live, "") && live.GetUID() != item.uid:
		return live, nil
	default:
		return nil, errTaken
	}
}

// worthRetrying says that err may pass by itself.
func worthRetrying(err error) bool {
	var answer apierrors.APIStatus
	switch {
	case errors.Is(err, errTaken):
		return false
	case errors.Is(err, errGoing):
		return true
	case !errors.As(err, &answer):
		return true // no answer at all
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}

// replayStatus writes the saved status to the remade object and returns the
// object as it is then. Whoever else wrote to it meanwhile worked without the
// saved status, so that goes first.
func (r *Recovery) replayStatus(ctx context.Context, item *Item, made *remade) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, gapLimit)
	defer cancel()
	base, pause := made.created, newPause()
	for {
		obj := base.DeepCopy()
		obj.Object["status"] = made.status
		replayed, err := r.client(item.target).UpdateStatus(ctx, obj, metav1.UpdateOptions{FieldManager: fieldManager})
		if apierrors.IsConflict(err) {
			if base, err = r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{}); err == nil {
				switch {
				case base.GetUID() != made.created.GetUID():
					return nil, fmt.Errorf("replay status: %w", errTaken)
				case wrote(base, "status"):
					return base, nil // this run or another one has done it
				}
				continue
			}
			base = made.created
		}
		if err == nil {
			return replayed, nil
		}
		if !worthRetrying(err) || !rest(ctx, pause) {
			return nil, fmt.Errorf("replay status: %w", err)
		}
	}
}

// madeFrom says that live is what a recovery from the snapshot of record has
// created. A run that was killed right after the creation did not note the
// new UID; then the record of who manages the object's fields tells it.
func madeFrom(live *unstructured.Unstructured, record *snapshot.Record) bool {
	j := record.Journal
	switch {
	case j == nil || live.GetUID() == record.UID:
		return false
	case j.NewUID != "":
		return j.NewUID == live.GetUID()
	default:
		return j.Open() && wrote(live, "")
	}
}

// wrote says that Holdfast has written to this subresource of live, or to live itself.
func wrote(live *unstructured.Unstructured, subresource string) bool {
	return slices.ContainsFunc(live.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == fieldManager && f.Subresource == subresource
	})
}
