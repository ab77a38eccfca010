// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// ErrSameObject means that a plan was asked for two versions of one object.
var ErrSameObject = errors.New("two snapshots of one object")

// PlanRestore plans to bring back the objects of the snapshots ids. An ID that
// does not exist makes it a snapshot.ErrNotFound. Nothing is changed.
func (r *Recovery) PlanRestore(ctx context.Context, ids []string, options RestoreOptions) (*Plan, error) {
	plan := &Plan{Operation: OperationRestore, options: options}
	var snaps []*snapshot.Snapshot
	for _, id := range ids {
		snap, err := r.Snapshots.Get(ctx, id)
		if errors.Is(err, snapshot.ErrDamaged) {
			plan.Items = append(plan.Items, (&Item{Resource: "snapshot", Name: id, Snapshot: id}).refuse("%v", err))
			continue
		}
		if err != nil {
			return nil, err
		}
		snaps = append(snaps, snap)
	}
	return plan, r.planItems(ctx, plan, snaps)
}

// planItems plans for each of snaps.
func (r *Recovery) planItems(ctx context.Context, plan *Plan, snaps []*snapshot.Snapshot) error {
	if err := plan.options.checkAbout(everything(plan, snaps)); err != nil {
		return err
	}
	plan.Items = slices.DeleteFunc(plan.Items, func(i *Item) bool {
		return plan.Set != nil && !plan.options.selects(i.groupResource(), i.Name)
	})
	from := map[string]string{} // object -> ID
	var leftOut []*Item
	for _, snap := range snaps {
		item := newRestoreItem(plan, snap)
		if !plan.options.selects(snap.GroupResource(), snap.Name) {
			leftOut = append(leftOut, item)
			continue
		}
		other, twice := from[item.String()]
		switch {
		case twice && other == snap.ID:
			continue
		case twice:
			return fmt.Errorf("%w: %s and %s are both of %s; name one", ErrSameObject, other, snap.ID, item)
		}
		from[item.String()] = snap.ID
		plan.Items = append(plan.Items, item)
	}
	r.findOwners(plan)
	for _, item := range plan.Items {
		if item.snap == nil {
			continue
		}
		if err := r.planItem(ctx, plan, item); err != nil {
			return err
		}
	}
	if err := r.refuseWithoutKeys(ctx, plan); err != nil {
		return err
	}
	if err := r.warnOfNewKeys(ctx, plan, leftOut); err != nil {
		return err
	}
	if err := r.findLeftovers(ctx, plan, leftOut); err != nil {
		return err
	}
	plan.sort()
	for _, item := range plan.Items {
		if item.snap == nil || item.later {
			continue
		}
		if err := r.completeRestore(ctx, plan, item); err != nil {
			return err
		}
	}
	return nil
}

// everything is all that patterns can be about.
func everything(plan *Plan, snaps []*snapshot.Snapshot) []*Item {
	all := slices.Clone(plan.Items) // those that cannot be read
	if plan.Set != nil {
		all = append(all, &Item{Resource: v1alpha1.ReleaseResource})
	}
	for _, snap := range snaps {
		all = append(all, &Item{Resource: snap.Resource, Name: snap.Name})
	}
	return all
}

// newRestoreItem is the item of snap, of which nothing live is known yet.
func newRestoreItem(plan *Plan, snap *snapshot.Snapshot) *Item {
	item := &Item{
		Resource: snap.Resource, Namespace: snap.Namespace, Name: snap.Name,
		Snapshot: snap.ID, snap: snap, Action: ActionCreate, plan: plan,
	}
	item.knows(snap.Object)
	if plan.options.ToNamespace != "" && item.Namespace != "" {
		item.Namespace = plan.options.ToNamespace
	}
	return item
}

// findOwners finds out which items come back before their owners.
func (r *Recovery) findOwners(plan *Plan) {
	for _, item := range plan.Items {
		item.beforeOwner = slices.ContainsFunc(plan.Items, func(owner *Item) bool { return r.comesBefore(item, owner) })
	}
}

// comesBefore says that item is to be there before owner, to which it belongs.
func (r *Recovery) comesBefore(item, owner *Item) bool {
	if item.snap == nil || !item.ownedBy(owner) {
		return false
	}
	g, ok := r.Profiles.Guarded(owner.snap.GroupResource())
	return ok && slices.Contains(g.BeforeOwner(), item.snap.GroupResource())
}

// planItem finds out what is to be done for one item.
func (r *Recovery) planItem(ctx context.Context, plan *Plan, item *Item) error {
	item.options = r.restoreOptions(item.snap.GroupResource(), &item.snap.Record)
	if plan.comesWithRelease(item) {
		item.skip("it comes with Helm release %s", plan.Release.Key())
		return nil
	}
	if plan.options.ToNamespace != "" && item.Namespace == "" {
		item.skip("it is not in a namespace, so it cannot come back in another")
		return nil
	}
	mapping, problem, err := r.served(ctx, item.snap)
	switch {
	case err != nil:
		return fmt.Errorf("look up %s %s: %w", item.snap.APIVersion, item.snap.Kind, err)
	case problem != "" && plan.defines(item.Resource):
		item.later = true
		item.Steps = []string{"wait until its kind is served", "create it from snapshot " + item.Snapshot}
		return nil
	case problem != "":
		item.refuse("%s", problem)
		return nil
	}
	return r.aim(ctx, item, mapping)
}

// aim says which resource an item is of, and looks for what bears its name.
func (r *Recovery) aim(ctx context.Context, item *Item, mapping *meta.RESTMapping) error {
	item.target = Target{Mapping: mapping, Namespace: item.Namespace, Name: item.Name}
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("get %s: %w", item.target, err)
	}
	item.before = live
	return r.inTheWay(ctx, item, live)
}

// completeRestore adds what is known only with the whole plan at hand, and
// tries the writes if the plan is to.
func (r *Recovery) completeRestore(ctx context.Context, plan *Plan, item *Item) error {
	if err := r.complete(ctx, plan, item, item.snap.Object); err != nil {
		return err
	}
	if item.Action == ActionMerge || (plan.options.Trial && item.works()) {
		return r.try(ctx, plan, item)
	}
	return nil
}

func namespaceFlag(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " -n " + namespace
}
