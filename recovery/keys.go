// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// refuseWithoutKeys refuses what would come back by itself although keys were
// saved with it that have to be there before it, and are not. Who leaves them
// out of a set has said so and is warned; who names one snapshot has not.
func (r *Recovery) refuseWithoutKeys(ctx context.Context, plan *Plan) error {
	if plan.Set != nil || plan.options.ToNamespace != "" {
		return nil
	}
	for _, item := range plan.Items {
		if item.Action != ActionCreate || item.snap == nil || !r.hasKeys(item) {
			continue
		}
		set, missing, err := r.missingKeys(ctx, plan, item)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			item.refuse("%s not there, so its operator would make new ones when it is back, and whatever holds a certificate or password by the old ones, such as every device, would be refused; "+
				"they were saved with it, and come back with it by: holdfast recovery restore --set %s (if new ones are meant, add: --only %s/%s)",
				wereFew(missing), set, item.Resource, item.Name)
		}
	}
	return nil
}

// hasKeys says that something may belong to item that comes back before it.
func (r *Recovery) hasKeys(item *Item) bool {
	g, ok := r.Profiles.Guarded(item.snap.GroupResource())
	return ok && len(g.BeforeOwner()) > 0
}

// missingKeys are those of the latest complete set of item that neither are
// there nor come back, and the ID of that set.
func (r *Recovery) missingKeys(ctx context.Context, plan *Plan, item *Item) (id string, missing []string, err error) {
	last, err := r.Snapshots.LastComplete(ctx, item.snap.UID)
	if err != nil || last.ID == "" {
		return "", nil, err
	}
	set, err := r.Snapshots.Set(ctx, last.ID)
	if err != nil {
		return "", nil, ignoreUnusable(err)
	}
	var saved []*Item
	for _, m := range set.Members {
		if m.Snapshot == "" || m.UID == item.snap.UID {
			continue
		}
		snap, err := r.Snapshots.Get(ctx, m.Snapshot)
		if err != nil {
			if err = ignoreUnusable(err); err != nil {
				return "", nil, err
			}
			continue
		}
		if key := newRestoreItem(plan, snap); !plan.brings(key.groupResource(), key.Namespace, key.Name) {
			saved = append(saved, key)
		}
	}
	missing, err = r.keysMissing(ctx, item, saved)
	return set.ID, missing, err
}

// keysMissing names those of items that are to be there before owner and are not.
func (r *Recovery) keysMissing(ctx context.Context, owner *Item, items []*Item) ([]string, error) {
	var missing []string
	for _, item := range items {
		if !r.comesBefore(item, owner) {
			continue
		}
		live, err := r.live(ctx, item)
		if err != nil {
			return nil, err
		}
		if live == nil {
			missing = append(missing, item.String())
		}
	}
	return missing, nil
}

// ignoreUnusable is err unless it says that what was saved cannot be used.
func ignoreUnusable(err error) error {
	if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrNotFound) {
		return nil
	}
	return err
}
