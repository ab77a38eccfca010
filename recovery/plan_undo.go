// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// ErrNoObject means that a target is neither there nor half undone.
var ErrNoObject = errors.New("no such object")

// PlanUndo plans to bring back targets that are Terminating. A target that
// does not exist, and whose undo was not interrupted, makes it an ErrNoObject.
// Nothing is changed.
func (r *Recovery) PlanUndo(ctx context.Context, targets []Target) (*Plan, error) {
	plan := &Plan{Operation: OperationUndo}
	saved := map[*Item]*unstructured.Unstructured{}
	seen := map[string]bool{}
	for _, t := range targets {
		if seen[t.String()] {
			continue
		}
		seen[t.String()] = true
		item, obj, err := r.undoItem(ctx, t)
		if err != nil {
			return nil, err
		}
		plan.Items = append(plan.Items, item)
		saved[item] = obj
	}
	plan.sort()
	for _, item := range plan.Items {
		if err := r.complete(ctx, plan, item, saved[item]); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// undoItem finds out what is to be done for t, and the object that comes back.
func (r *Recovery) undoItem(ctx context.Context, t Target) (*Item, *unstructured.Unstructured, error) {
	live, err := r.client(t).Get(ctx, t.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("get %s: %w", t, err)
	}
	item := newItem(t)
	if err == nil && terminating(live) {
		item.knows(live)
		item.Action = ActionUndo
		if item.options, err = r.undoOptions(ctx, item); err != nil {
			return nil, nil, err
		}
		if len(live.GetFinalizers()) == 0 {
			item.refuse("no finalizer holds it, it is about to go by itself; wait until it is gone, then restore it from its snapshot")
		}
		return item, live, nil
	}
	records, findErr := r.Snapshots.Find(ctx, t.Mapping.Resource.GroupResource(), t.Namespace, t.Name)
	if findErr != nil {
		return nil, nil, findErr
	}
	if err != nil {
		return r.interruptedItem(ctx, item, records)
	}
	for _, record := range records {
		if madeFrom(live, &record) && record.Journal.Open() {
			item.stale = openJournals(records, record.UID)
			return r.finishItem(ctx, item, record.ID)
		}
	}
	return item.skip("it is not Terminating"), live, nil
}

// interruptedItem is for a target that is gone: it is an item if an undo was
// killed after it took the object's finalizers away.
func (r *Recovery) interruptedItem(ctx context.Context, item *Item, records []snapshot.Record) (*Item, *unstructured.Unstructured, error) {
	for _, record := range records {
		if !record.Journal.Open() {
			continue
		}
		snap, err := r.Snapshots.Get(ctx, record.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("finish the interrupted %s of %s: %w", record.Journal.Operation, item.target, err)
		}
		item.knows(snap.Object)
		item.Action, item.snap, item.Snapshot = ActionCreate, snap, record.ID
		item.stale = openJournals(records, snap.UID)
		item.options = r.restoreOptions(snap.GroupResource(), &snap.Record)
		return item, snap.Object, nil
	}
	for _, record := range records {
		if record.Problem == "" {
			return nil, nil, fmt.Errorf("%w: %s is gone; 'holdfast recovery restore %s' brings it back as it was last saved", ErrNoObject, item.target, record.ID)
		}
	}
	return nil, nil, fmt.Errorf("%w: %s, nor a snapshot of it; check the name and the namespace (-n)", ErrNoObject, item.target)
}

// openJournals are the snapshots of object uid whose recovery is not finished.
func openJournals(records []snapshot.Record, uid types.UID) []string {
	var ids []string
	for _, record := range records {
		if record.UID == uid && record.Journal.Open() {
			ids = append(ids, record.ID)
		}
	}
	return ids
}

// finishItem is for an object that an interrupted run has created.
func (r *Recovery) finishItem(ctx context.Context, item *Item, id string) (*Item, *unstructured.Unstructured, error) {
	snap, err := r.Snapshots.Get(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("finish the interrupted recovery of %s: %w", item.target, err)
	}
	item.knows(snap.Object)
	item.Action, item.snap, item.Snapshot = ActionFinish, snap, id
	item.options = r.restoreOptions(snap.GroupResource(), &snap.Record)
	return item, snap.Object, nil
}

// complete adds to an item what is known only with the whole plan at hand:
// what stands in the way, the steps, and what will not be as it was.
func (r *Recovery) complete(ctx context.Context, plan *Plan, item *Item, saved *unstructured.Unstructured) error {
	if !item.works() {
		return nil
	}
	if err := r.checkPlace(ctx, item); err != nil || !item.works() {
		return err
	}
	ready, err := r.prepare(ctx, item, saved, plan.bringsOwner)
	if err != nil {
		return err
	}
	if item.Action == ActionUndo {
		if err := r.rehearse(ctx, item, saved, ready); err != nil || !item.works() {
			return err
		}
		if err := r.checkDependents(ctx, item, saved); err != nil || !item.works() {
			return err
		}
	}
	item.Warnings = append(item.Warnings, ready.changes...)
	item.Steps = steps(item, saved, ready)
	r.warnOfReferences(ctx, plan, item, saved)
	return nil
}

func steps(item *Item, saved *unstructured.Unstructured, ready *prepared) []string {
	var list []string
	switch item.Action {
	case ActionUndo:
		list = append(list,
			"save it as it is now",
			fmt.Sprintf("remove its finalizers (%s), with which it goes", strings.Join(saved.GetFinalizers(), ", ")),
			"create it again at once")
	case ActionCreate:
		list = append(list, "create it from snapshot "+item.Snapshot)
	case ActionMerge:
		list = append(list, "apply snapshot "+item.Snapshot+" to the object that is there")
	case ActionReplace:
		list = append(list, "replace the object that is there by snapshot "+item.Snapshot)
	case ActionFinish, ActionRescue, ActionSkip, ActionRefuse:
	}
	if ready.status != nil {
		list = append(list, "replay its status")
	}
	return append(list, "compare it with what was saved")
}

// restoreOptions are those of the profile that is switched on now, else those
// that held when the snapshot was taken.
func (r *Recovery) restoreOptions(gr schema.GroupResource, record *snapshot.Record) v1alpha1.RestoreOptions {
	if opts, ok := r.Profiles.RestoreOptions(gr); ok {
		return opts
	}
	return v1alpha1.RestoreOptions{Status: record.RestoreStatus, Order: record.RestoreOrder}
}

// undoOptions are the restore options of an object that has yet to be saved:
// without a profile, those of an earlier snapshot of it.
func (r *Recovery) undoOptions(ctx context.Context, item *Item) (v1alpha1.RestoreOptions, error) {
	gr := item.target.Mapping.Resource.GroupResource()
	if opts, ok := r.Profiles.RestoreOptions(gr); ok {
		return opts, nil
	}
	records, err := r.Snapshots.List(ctx, snapshot.Filter{Resource: gr, UID: item.uid})
	if err != nil || len(records) == 0 {
		return v1alpha1.RestoreOptions{}, err
	}
	return r.restoreOptions(gr, &records[0]), nil
}
