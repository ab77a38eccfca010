// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// ErrSameObject means that a plan was asked for two versions of one object.
var ErrSameObject = errors.New("two snapshots of one object")

// PlanRestore plans to bring back the objects of the snapshots ids. An ID that
// does not exist makes it a snapshot.ErrNotFound. With trial, every creation
// is tried without effect, and what the API server would refuse is refused
// already here. Nothing is changed.
func (r *Recovery) PlanRestore(ctx context.Context, ids []string, trial bool) (*Plan, error) {
	plan := &Plan{Operation: OperationRestore}
	from := map[string]string{} // object -> ID
	for _, id := range ids {
		item, err := r.restoreItem(ctx, id)
		if err != nil {
			return nil, err
		}
		other, twice := from[item.String()]
		switch {
		case twice && other == id:
			continue
		case twice:
			return nil, fmt.Errorf("%w: %s and %s are both of %s; name one", ErrSameObject, other, id, item)
		}
		from[item.String()] = id
		plan.Items = append(plan.Items, item)
	}
	plan.sort()
	for _, item := range plan.Items {
		if item.snap == nil {
			continue
		}
		if err := r.complete(ctx, plan, item, item.snap.Object); err != nil {
			return nil, err
		}
		if trial && item.Action == ActionCreate {
			if err := r.tryCreate(ctx, plan, item); err != nil {
				return nil, err
			}
		}
	}
	return plan, nil
}

// restoreItem finds out what is to be done for snapshot id.
func (r *Recovery) restoreItem(ctx context.Context, id string) (*Item, error) {
	snap, err := r.Snapshots.Get(ctx, id)
	if errors.Is(err, snapshot.ErrDamaged) {
		return (&Item{Resource: "snapshot", Name: id, Snapshot: id}).refuse("%v", err), nil
	}
	if err != nil {
		return nil, err
	}
	item := &Item{
		Resource: snap.Resource, Namespace: snap.Namespace, Name: snap.Name,
		Snapshot: id, snap: snap, Action: ActionCreate,
	}
	item.knows(snap.Object)
	mapping, problem, err := r.served(ctx, snap)
	if err != nil {
		return nil, fmt.Errorf("look up %s %s: %w", snap.APIVersion, snap.Kind, err)
	}
	if problem != "" {
		return item.refuse("%s", problem), nil
	}
	item.target = Target{Mapping: mapping, Namespace: snap.Namespace, Name: snap.Name}
	item.options = r.restoreOptions(item.target, &snap.Record)
	live, err := r.client(item.target).Get(ctx, snap.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return item, nil
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", item.target, err)
	}
	return inTheWay(item, live), nil
}

// inTheWay decides what becomes of a restore whose object is there.
func inTheWay(item *Item, live *unstructured.Unstructured) *Item {
	undo := fmt.Sprintf("'holdfast recovery undo %s %s%s'", item.Resource, item.Name, namespaceFlag(item.Namespace))
	record := &item.snap.Record
	switch {
	case terminating(live) && live.GetUID() == record.UID:
		return item.refuse("it still exists and is Terminating; %s brings it back", undo)
	case terminating(live):
		return item.refuse("another object of its name is Terminating; wait until that is gone, or bring that one back with %s", undo)
	case live.GetUID() == record.UID:
		return item.skip("it still exists, with the UID it was saved with")
	case madeFrom(live, record) && record.Journal.Open():
		item.Action = ActionFinish
		return item
	case madeFrom(live, record):
		return item.skip("it was brought back already, at %s", record.Journal.At.Format("2006-01-02 15:04:05Z07:00"))
	default:
		return item.refuse("an object of its name exists already, created at %s; delete or rename that first", live.GetCreationTimestamp().UTC().Format("2006-01-02 15:04:05Z07:00"))
	}
}

func namespaceFlag(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " -n " + namespace
}

// served is the resource of a snapshot in the version it was saved in, or why
// there is none.
func (r *Recovery) served(ctx context.Context, snap *snapshot.Snapshot) (*meta.RESTMapping, string, error) {
	gv, err := schema.ParseGroupVersion(snap.APIVersion)
	if err != nil {
		return nil, fmt.Sprintf("its apiVersion %q is none", snap.APIVersion), nil //nolint:nilerr // the problem is the snapshot's
	}
	kind := schema.GroupKind{Group: gv.Group, Kind: snap.Kind}
	mapping, err := r.Mapper.RESTMappingWithContext(ctx, kind, gv.Version)
	if err == nil {
		return mapping, "", nil
	}
	if !meta.IsNoMatchError(err) {
		return nil, "", err
	}
	others, err := r.Mapper.RESTMappingsWithContext(ctx, kind)
	if meta.IsNoMatchError(err) || (err == nil && len(others) == 0) {
		return nil, fmt.Sprintf("the cluster has no resource %s (its CustomResourceDefinition is missing); install that first", snap.Resource), nil
	}
	if err != nil {
		return nil, "", err
	}
	var versions []string
	for _, m := range others {
		versions = append(versions, m.GroupVersionKind.Version)
	}
	return nil, fmt.Sprintf("the cluster serves %s no longer in version %s, only in %s; serve that version again in its CustomResourceDefinition, or create it by hand from 'holdfast recovery show %s'",
		snap.Resource, gv.Version, strings.Join(versions, ", "), snap.ID), nil
}

// tryCreate refuses an item that the API server would not take.
func (r *Recovery) tryCreate(ctx context.Context, plan *Plan, item *Item) error {
	ready, err := r.prepare(ctx, item, item.snap.Object, plan.bringsOwner)
	if err != nil {
		return err
	}
	_, err = r.client(item.target).Create(ctx, ready.object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: fieldManager})
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		item.refuse("the API server would not take it: %v", err)
		return nil
	default:
		return fmt.Errorf("try to create %s: %w", item.target, err)
	}
}
