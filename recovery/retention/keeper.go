// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package retention keeps the history of saved versions within its bounds: it
// removes what a policy does not keep, and what is left of writes that were cut
// off. What may go and what never does is decided in recovery/snapshot.
package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const (
	// tornAge is when a part that no snapshot needs is the rest of a write that
	// was cut off. No write takes minutes.
	tornAge = time.Hour
	// roundTime bounds one round, so that a dead API server does not hold it for ever.
	roundTime = 2 * time.Minute
)

// Keeper applies a policy to a store.
type Keeper struct {
	Snapshots *snapshot.Store
	Policy    snapshot.Policy
	// Metrics may be nil.
	Metrics *Metrics
	Now     func() time.Time
	// Every is how long to wait between rounds.
	Every time.Duration
}

// Run removes what need not be kept, at once and again and again until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	defer k.Metrics.forget()
	for ctx.Err() == nil {
		if err := k.Once(ctx); err != nil && ctx.Err() == nil {
			k.Metrics.failed()
			log.FromContext(ctx).Error(err, "Retention failed; it is tried again", "after", k.Every.String())
		}
		timer := time.NewTimer(k.Every)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Once is one round. What cannot be removed does not hinder the rest.
func (k *Keeper) Once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	plan, err := k.Plan(ctx)
	if err != nil {
		return err
	}
	k.Metrics.found(plan)
	logger := log.FromContext(ctx)
	var failures []error
	// A set goes before its members do, so that none is left that lacks some.
	for _, set := range plan.Sets {
		if err := k.Snapshots.RemoveSet(ctx, set); err != nil && !errors.Is(err, snapshot.ErrInUse) {
			return err
		}
	}
	for _, removal := range plan.Remove {
		err := k.Snapshots.Remove(ctx, removal.Record)
		switch {
		case errors.Is(err, snapshot.ErrInUse):
			logger.V(1).Info("Snapshot stays, it is used again", "snapshot", removal.ID)
		case err != nil:
			failures = append(failures, err)
		default:
			k.Metrics.removed()
			logger.Info("Snapshot removed", "snapshot", removal.ID, "of", removal.Path(), "why", removal.Why)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if plan.Over > 0 {
		logger.Info("Snapshots take more than they may, and none of them may go: raise the bound, bring objects back, or take pins away",
			"bytes", plan.Bytes, "bound", k.Policy.Bytes)
	}
	swept, err := k.Snapshots.Sweep(ctx, tornAge)
	if swept > 0 {
		logger.Info("Rests of writes that were cut off removed", "parts", swept)
	}
	return errors.Join(append(failures, err)...)
}

// Plan tells what a round would remove.
func (k *Keeper) Plan(ctx context.Context) (snapshot.Retained, error) {
	records, err := k.Snapshots.List(ctx, snapshot.Filter{})
	if err != nil {
		return snapshot.Retained{}, err
	}
	sets, err := k.Snapshots.Sets(ctx, snapshot.Filter{})
	if err != nil {
		return snapshot.Retained{}, err
	}
	plan, err := k.apply(ctx, k.Policy, records, sets)
	if err == nil && plan.Over > 0 {
		// There is room for the latest set of each object only.
		fewest := k.Policy
		fewest.Versions = 1
		keep, remove := fewest.ApplySets(sets, records)
		held, err := k.Snapshots.HeldBy(ctx, keep)
		if err != nil {
			return plan, err
		}
		plan = beside(k.Policy, keep).Apply(records, held, k.Now())
		plan.Sets = remove
	}
	return plan, err
}

// apply asks what sets need only when something would go otherwise.
func (k *Keeper) apply(ctx context.Context, policy snapshot.Policy, records []snapshot.Record, sets []snapshot.SetRecord) (snapshot.Retained, error) {
	keep, remove := policy.ApplySets(sets, records)
	policy = beside(policy, keep)
	plan := policy.Apply(records, nil, k.Now())
	if len(plan.Remove) > 0 {
		held, err := k.Snapshots.HeldBy(ctx, keep)
		if err != nil {
			return snapshot.Retained{}, fmt.Errorf("find out which snapshots are needed: %w", err)
		}
		plan = policy.Apply(records, held, k.Now())
	}
	plan.Sets = remove
	return plan, nil
}

// beside is policy with what the sets that stay take.
func beside(policy snapshot.Policy, sets []snapshot.SetRecord) snapshot.Policy {
	for i := range sets {
		policy.Beside += sets[i].Footprint()
	}
	return policy
}

// SweepTorn removes the rests of writes that were cut off, and says how many.
func (k *Keeper) SweepTorn(ctx context.Context) (int, error) { return k.Snapshots.Sweep(ctx, tornAge) }
