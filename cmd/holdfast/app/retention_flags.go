// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/holdfast-dev/holdfast/recovery/retention"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// retentionFlags say how much history is kept.
type retentionFlags struct {
	versions int
	bytes    string
	age      time.Duration
}

func addRetentionFlags(flags *pflag.FlagSet) *retentionFlags {
	f := &retentionFlags{}
	flags.IntVar(&f.versions, "keep-versions", snapshot.DefaultPolicy().Versions, "how many saved versions of one object are kept; 0 is no bound")
	flags.StringVar(&f.bytes, "keep-bytes", resource.NewQuantity(snapshot.DefaultPolicy().Bytes, resource.BinarySI).String(), "how much all saved versions together may take, such as 256Mi; 0 is no bound")
	flags.DurationVar(&f.age, "keep-for", 0, "how long a saved version is kept, such as 720h; 0 is no bound")
	return f
}

// policy is what the flags ask for.
func (f *retentionFlags) policy() (snapshot.Policy, error) {
	quantity, err := resource.ParseQuantity(f.bytes)
	if err != nil {
		return snapshot.Policy{}, usagef("--keep-bytes %q: %w", f.bytes, err)
	}
	if f.versions < 0 || quantity.Sign() < 0 || f.age < 0 {
		return snapshot.Policy{}, usagef("--keep-versions, --keep-bytes and --keep-for must be 0 or more")
	}
	return snapshot.Policy{Versions: f.versions, Bytes: quantity.Value(), Age: f.age}, nil
}

// keepBounds keeps the snapshots within the bounds that the flags ask for, while
// this replica leads.
func keepBounds(o *serveOptions, u *upkeep) error {
	store, err := newSnapshots(o)
	if err != nil {
		return err
	}
	counts, err := retention.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	keeper := &retention.Keeper{Snapshots: store, Policy: o.policy, Metrics: counts, Now: time.Now, Every: o.pruneEvery}
	u.beside = append(u.beside, func(ctx context.Context) {
		keeper.Run(log.IntoContext(ctx, ctrl.Log.WithName("retention")))
	})
	return nil
}
