// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// mergeManager is the field manager of merges: what a merge has written can be
// told from what a restore has created.
const mergeManager = "holdfast-restore"

// inTheWay decides what becomes of a restore whose object is there.
func (r *Recovery) inTheWay(ctx context.Context, item *Item, live *unstructured.Unstructured) error {
	undo := fmt.Sprintf("'holdfast recovery undo %s %s%s'", item.Resource, item.Name, namespaceFlag(item.Namespace))
	record := &item.snap.Record
	switch {
	case terminating(live) && isDefinition(item.Resource):
		item.refuse("it is Terminating; bring its instances back with 'holdfast recovery undo' while they are there, or wait until it is gone")
	case terminating(live) && live.GetUID() == record.UID:
		item.refuse("it still exists and is Terminating; %s brings it back", undo)
	case terminating(live):
		item.refuse("another object of its name is Terminating; wait until that is gone, or bring that one back with %s", undo)
	case madeFrom(live, record) && record.Journal.Open():
		item.Action = ActionFinish
	case isDefinition(item.Resource):
		item.skip("it is there; an older definition does not replace it")
	case live.GetUID() == record.UID && !item.plan.options.changes():
		item.skip("it still exists, with the UID it was saved with")
	case madeFrom(live, record) && !item.plan.options.changes():
		item.skip("it was brought back already, at %s", record.Journal.At.Format("2006-01-02 15:04:05Z07:00"))
	default:
		return r.byPolicy(ctx, item, live)
	}
	return nil
}

// byPolicy decides as the user wants it about an object that is another one
// than the saved one, or has become another.
func (r *Recovery) byPolicy(ctx context.Context, item *Item, live *unstructured.Unstructured) error {
	ready, err := r.prepare(ctx, item, item.snap.Object, item.plan.bringsOwner)
	if err != nil {
		return err
	}
	if ready.status == nil && sameButOwners(compare(ready.object, live, true)) && !r.leavesMore(item, ready.object, live) {
		item.skip("it is there as it was saved")
		return nil
	}
	switch item.plan.options.Existing {
	case ExistingSkip:
		item.skip("an object of its name exists already, and differs")
	case ExistingMerge:
		item.Action = ActionMerge
	case ExistingReplace:
		item.Action = ActionReplace
	default:
		if item.plan.Set != nil && !item.beforeOwner && owned(ready.object, live) {
			item.skip("whoever it belongs to has made it already%s", differing(ready.object, live))
			return nil
		}
		item.refuse("an object of its name exists already, created at %s%s; delete or rename that first, or say with --existing what becomes of it",
			live.GetCreationTimestamp().UTC().Format("2006-01-02 15:04:05Z07:00"), differing(ready.object, live))
	}
	return nil
}

// leavesMore says that a replacement would take away keys that only live has.
func (r *Recovery) leavesMore(item *Item, want, live *unstructured.Unstructured) bool {
	return item.plan.options.Existing == ExistingReplace && isKeyed(want) && !maps.Equal(data(want), data(live))
}

// isKeyed says that obj holds nothing but keys and their values.
func isKeyed(obj *unstructured.Unstructured) bool {
	return obj.GroupVersionKind().Group == "" && (obj.GetKind() == "Secret" || obj.GetKind() == "ConfigMap")
}

// sameButOwners says that nothing else differs than who owns it.
func sameButOwners(d difference) bool {
	return !slices.ContainsFunc(d.lost, func(path string) bool { return path != ".metadata.ownerReferences" })
}

// differing says that a Secret in the way holds something else: keys that were
// made anew fit nothing that was made with the old ones.
func differing(want, live *unstructured.Unstructured) string {
	if want.GetKind() != "Secret" {
		return ""
	}
	var keys []string
	for _, path := range compare(want, live, true).lost {
		if rest, ok := strings.CutPrefix(path, ".data."); ok {
			keys = append(keys, rest)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return ", with another content (" + firstFew(keys) + ")"
}

// try makes the writes of an item without effect, and refuses it if the API
// server would.
func (r *Recovery) try(ctx context.Context, plan *Plan, item *Item) error {
	ready, err := r.prepare(ctx, item, item.snap.Object, plan.bringsOwner)
	if err != nil {
		return err
	}
	item.after, err = r.write(ctx, item, ready.object, []string{metav1.DryRunAll})
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case isFieldConflict(err) && item.Action == ActionMerge:
		item.refuse("others have set the same fields differently: %s; --existing replace takes them over", conflicts(err))
		return nil
	case apierrors.IsNotFound(err) && plan.Set != nil, apierrors.IsInternalError(err) && plan.Set != nil:
		// What it needs comes back first, and is waited for.
		return nil
	case errors.As(err, &status):
		item.refuse("the API server would not take it: %v", err)
		return nil
	default:
		return fmt.Errorf("try to %s %s: %w", item.Action, item.target, err)
	}
}

// write writes an item's object as its action says.
func (r *Recovery) write(ctx context.Context, item *Item, object *unstructured.Unstructured, dryRun []string) (*unstructured.Unstructured, error) {
	client := r.client(item.target)
	switch item.Action {
	case ActionMerge:
		if _, err := r.asPlanned(ctx, item); err != nil {
			return nil, err
		}
		merged := object.DeepCopy()
		merged.SetUID(item.before.GetUID()) // or it would create one that is gone by now
		return client.Apply(ctx, item.Name, merged, metav1.ApplyOptions{FieldManager: mergeManager, DryRun: dryRun})
	case ActionReplace:
		live, err := r.asPlanned(ctx, item)
		if err != nil {
			return nil, err
		}
		replaced := object.DeepCopy()
		replaced.SetUID(live.GetUID())
		replaced.SetResourceVersion(live.GetResourceVersion())
		if len(replaced.GetOwnerReferences()) == 0 {
			replaced.SetOwnerReferences(live.GetOwnerReferences())
		}
		return client.Update(ctx, replaced, metav1.UpdateOptions{FieldManager: fieldManager, DryRun: dryRun})
	default:
		return client.Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager, DryRun: dryRun})
	}
}

// asPlanned is the object that is to be changed, if it is still the one of the
// plan: without its finalizers, one that was deleted meanwhile would be gone.
func (r *Recovery) asPlanned(ctx context.Context, item *Item) (*unstructured.Unstructured, error) {
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return nil, err
	case live.GetUID() != item.before.GetUID():
		return nil, errors.New("somebody has put another object in its place since the plan was made")
	case terminating(live):
		return nil, errors.New("somebody has deleted it since the plan was made: it is Terminating")
	}
	return live, nil
}

// isFieldConflict says that err is about fields that others hold.
func isFieldConflict(err error) bool {
	return apierrors.IsConflict(err) && apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict)
}

// conflicts names the fields that others hold, and who they are.
func conflicts(err error) string {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || answer.Status().Details == nil {
		return err.Error()
	}
	var fields []string
	for _, cause := range answer.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			fields = append(fields, fmt.Sprintf("%s (%s)", cause.Field, strings.TrimPrefix(cause.Message, "conflict with ")))
		}
	}
	if len(fields) == 0 {
		return err.Error()
	}
	return firstFew(fields)
}

// change writes an item to an object that is there.
func (r *Recovery) change(ctx context.Context, item *Item, o *Outcome) error {
	ready, err := r.prepare(ctx, item, item.snap.Object, noOwner)
	if err != nil {
		return err
	}
	written, err := r.write(ctx, item, ready.object, nil)
	if err != nil {
		if isFieldConflict(err) && item.Action == ActionMerge {
			return fmt.Errorf("merge it: others have set the same fields differently: %s", conflicts(err))
		}
		return fmt.Errorf("%s it: %w; run the command again", item.Action, err)
	}
	made := &remade{prepared: ready, created: written}
	if ready.status != nil {
		if written, err = r.replayStatus(ctx, item, made); err != nil {
			return err
		}
	}
	o.NewUID = written.GetUID()
	o.Warnings = append(o.Warnings, ready.changes...)
	if lost := compare(ready.object, written, true).lost; len(lost) > 0 {
		return fmt.Errorf("the API server did not keep all of it: %s", firstFew(lost))
	}
	return nil
}
