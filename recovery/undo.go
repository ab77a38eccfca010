// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// undoTries bounds how often an undo starts over because somebody wrote to
// the object between its reading and its removal.
const undoTries = 20

// errAgain means that the object has changed under the undo's hands.
var errAgain = errors.New("somebody else keeps writing to it")

// undo brings back one Terminating object.
func (r *Recovery) undo(ctx context.Context, item *Item, o *Outcome) error {
	for range undoTries {
		live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return r.undoGone(ctx, item, o)
		case err != nil:
			return fmt.Errorf("get it: %w", err)
		case live.GetUID() != item.uid:
			return r.undoReplaced(ctx, item, live, o)
		}
		err = r.undoOnce(ctx, item, live, o)
		if !errors.Is(err, errAgain) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %w; run the command again", ctx.Err())
		}
	}
	return fmt.Errorf("gave up after %d tries: %w; stop whoever it is, and run the command again", undoTries, errAgain)
}

// undoOnce saves live, removes its finalizers and creates it again. Everything
// that can be done beforehand is done beforehand: nobody finds the object from
// the removal on until it is created. And as little as possible is done
// between reading the object and the removal, which fails if somebody writes
// to it meanwhile; so the journal goes into the snapshot's own write.
func (r *Recovery) undoOnce(ctx context.Context, item *Item, live *unstructured.Unstructured, o *Outcome) error {
	ready, err := r.prepare(ctx, item, live, noOwner)
	if err != nil {
		return err
	}
	strip, err := stripPatch(live)
	if err != nil {
		return err
	}
	if err := r.saveForUndo(ctx, item, live); err != nil {
		return err
	}
	gap, cancel := context.WithTimeout(context.WithoutCancel(ctx), gapLimit)
	defer cancel()
	start := r.Now()
	_, err = r.client(item.target).Patch(gap, item.Name, types.MergePatchType, strip, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		return r.notStripped(gap, item, err)
	}
	created, err := r.createAgain(gap, item, ready.object)
	if err != nil {
		return r.notCreated(gap, item, err)
	}
	o.Missing = r.Now().Sub(start)
	return r.finish(gap, item, &remade{created: created, prepared: ready, fresh: true}, o)
}

// saveForUndo makes sure of a readable snapshot of live as it is, and that
// whoever finds it knows of the undo.
func (r *Recovery) saveForUndo(ctx context.Context, item *Item, live *unstructured.Unstructured) error {
	gr := item.target.Mapping.Resource.GroupResource()
	p := snapshot.Provenance{
		Operation: OperationUndo, User: r.User, RestoreStatus: item.options.Status, RestoreOrder: item.options.Order,
		Journal: &snapshot.Journal{Operation: OperationUndo, Phase: snapshot.PhaseStarted, User: r.User},
	}
	if g, ok := r.Profiles.Guarded(gr); ok {
		p.Profile = g.Profile
	}
	record, err := r.Snapshots.Save(ctx, gr, live, p)
	if err != nil {
		return err
	}
	if old := item.snap; old != nil && old.ID != record.ID {
		item.stale = append(item.stale, old.ID) // an earlier try got no further than this
	}
	item.snap, item.Snapshot = &snapshot.Snapshot{Record: record, Object: live}, record.ID
	return nil
}

// abandon closes the journals of an item for which nothing is left to be finished.
func (r *Recovery) abandon(ctx context.Context, item *Item) error {
	if item.snap == nil {
		return nil
	}
	return errors.Join(r.Snapshots.ClearJournal(ctx, item.snap.ID), r.clearStale(ctx, item))
}

// clearStale closes the journals of versions that did not come back: a later
// one did.
func (r *Recovery) clearStale(ctx context.Context, item *Item) error {
	for _, id := range item.stale {
		if id == item.snap.ID {
			continue // the content went back to what it had been before
		}
		if err := r.Snapshots.ClearJournal(ctx, id); err != nil {
			return err
		}
	}
	item.stale = nil
	return nil
}

// stripPatch removes the finalizers of exactly the version live, and marks
// the removal as an undo's.
func stripPatch(live *unstructured.Unstructured) ([]byte, error) {
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             live.GetUID(),
		"resourceVersion": live.GetResourceVersion(),
		"finalizers":      nil,
		"annotations":     map[string]any{v1alpha1.UndoMark: live.GetUID()},
	}})
}

// notStripped tells a removal of finalizers that did not happen from one that
// may have: an answer that was lost on the way says nothing.
func (r *Recovery) notStripped(ctx context.Context, item *Item, err error) error {
	var answer apierrors.APIStatus
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || !errors.As(err, &answer) || worthRetrying(err) {
		return fmt.Errorf("remove its finalizers: %w (%w)", errAgain, err)
	}
	err = fmt.Errorf("remove its finalizers: %w", err)
	return errors.Join(err, r.abandon(ctx, item))
}

// undoGone is for an object that went between its reading and now: this undo
// removed its finalizers and did not hear of it, or somebody else did.
func (r *Recovery) undoGone(ctx context.Context, item *Item, o *Outcome) error {
	if item.snap == nil {
		t := item.target
		records, err := r.Snapshots.Find(ctx, t.Mapping.Resource.GroupResource(), t.Namespace, t.Name)
		if err != nil {
			return err
		}
		found, _, err := r.interruptedItem(ctx, newItem(t), records)
		if err != nil {
			return err
		}
		item.snap, item.Snapshot, item.stale = found.snap, found.Snapshot, found.stale
	}
	return r.createGone(ctx, OperationUndo, item, o)
}

// undoReplaced is for an object whose place another one has taken.
func (r *Recovery) undoReplaced(ctx context.Context, item *Item, live *unstructured.Unstructured, o *Outcome) error {
	switch {
	case !wrote(live, ""):
		return errors.Join(fmt.Errorf("%w; it is not touched", errTaken), r.abandon(ctx, item))
	case item.snap == nil || terminating(live):
		o.Result, o.Reason, o.NewUID = ResultSkipped, "another run brought it back meanwhile", live.GetUID()
		return nil
	}
	ready, err := r.prepare(ctx, item, item.snap.Object, noOwner)
	if err != nil {
		return err
	}
	return r.finish(ctx, item, &remade{created: live, prepared: ready}, o)
}
