// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery"
)

// recoveryRestore is 'recovery restore' with its own flags.
type recoveryRestore struct {
	recoveryRun
	set      string
	existing string
	how      recovery.RestoreOptions
}

func newRecoveryRestoreCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryRestore{recoveryRun: recoveryRun{streams: streams}}
	cmd := &cobra.Command{
		Use:   "restore ID... | --set SET | release NAME",
		Short: "Bring back objects that are gone, from their snapshots",
		Long: `Bring back objects that are gone, each from the snapshot that is named by its
ID or by a whole line of 'holdfast recovery list -o name', or all that belong
together from a set ('holdfast recovery list --sets').

The objects get new UIDs. What the API server or the garbage collector had
written is left out, the finalizers of their product stay, references to owners
are pointed at the owners that are there now, and the status is replayed where
the profile says so. When the command was interrupted, run it again: it
finishes what it began. The snapshot is kept. 'holdfast serve' is not needed.

A set comes back in the order in which its objects need each other: its Helm
release and definitions, then what has to be there before its owner, such as the
Secrets of an Astarte, then the owners, then what refers to them. Each waits
until what it needs is ready. What could not be saved is said at the beginning.
If anything is refused, nothing of the set is changed.

An object that is there already, and is not as it was saved, is refused; with
--existing, it is left alone (skip), or the saved fields are applied to it
(merge: conflicts with those of others are shown and refused), or it is made as it
was saved (replace).

"release NAME" brings a Helm release back that is gone, or was left uninstalling
or failed: its stored manifest and hooks are applied again as they are, from its
saved Secrets, without the chart. Helm 3 and Helm 4 go on from there.`,
		Example: `  holdfast recovery restore 3x7kq2m5ab4cd6ef
  holdfast recovery restore 3x7kq2m5ab4cd6ef --dry-run
  holdfast recovery restore --set 5bq2ndzw4cxa7e6k --except configmaps
  holdfast recovery restore release astarte-operator -n kube-system`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.how.Existing = recovery.Existing(o.existing)
			if err := o.validate(args); err != nil {
				return err
			}
			ctx := quietly(cmd.Context())
			name, isRelease, err := releaseNamed(args)
			switch {
			case err != nil:
				return err
			case isRelease:
				return restoreRelease(ctx, &o.recoveryRun, name)
			case o.set != "":
				return o.runSet(ctx)
			}
			return o.runIDs(ctx, args)
		},
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.set, "set", "", "bring back the whole set of this ID")
	f.StringVar(&o.existing, "existing", string(recovery.ExistingFail), "what becomes of an object that exists and differs: fail, skip, merge or replace")
	f.StringVar(&o.how.ToNamespace, "to-namespace", "", "bring the objects back in this namespace, with the references between them")
	f.StringSliceVar(&o.how.Only, "only", nil, "bring back only these: RESOURCE or RESOURCE/NAME, NAME may have *")
	f.StringSliceVar(&o.how.Except, "except", nil, "leave these out: RESOURCE or RESOURCE/NAME, NAME may have *")
	return cmd
}

// validate finds fault with the flags and arguments.
func (o *recoveryRestore) validate(args []string) error {
	if err := o.output.validate(); err != nil {
		return err
	}
	o.how.Trial = o.dryRun
	if err := o.how.Check(); err != nil {
		return usagef("%w", err)
	}
	_, isRelease, _ := releaseNamed(args)
	switch {
	case o.set == "" && isRelease && (o.how.Existing != recovery.ExistingFail || o.how.ToNamespace != "" || len(o.how.Only)+len(o.how.Except) > 0):
		return usagef("--existing, --to-namespace, --only and --except are for objects, not for a Helm release")
	case o.set != "" && len(args) > 0:
		return usagef("name IDs or a set, not both")
	case o.set == "" && len(args) == 0:
		return usagef("name what to bring back: IDs, --set SET or release NAME; 'holdfast recovery list' shows what is saved")
	}
	return nil
}

// runSet brings a whole set back.
func (o *recoveryRestore) runSet(ctx context.Context) error {
	named, err := setID(o.set)
	if err != nil {
		return err
	}
	c, r, err := o.connect(ctx)
	if err != nil {
		return err
	}
	plan, err := r.PlanRestoreSet(ctx, named.id, o.how)
	if errors.Is(err, recovery.ErrSelectsNothing) {
		return usagef("%w", err)
	}
	if err != nil {
		return c.explain(unknownSet(ctx, r.Snapshots, err, named.id))
	}
	if named.path != "" && plan.Set.Path() != named.path {
		return usagef("set %s is %s, not %s", plan.Set.ID, plan.Set.Path(), named.path)
	}
	if refused := refusalOf(plan); refused != nil && !o.dryRun {
		if err := o.printPlan(o.streams.Out, plan); err != nil {
			return err
		}
		return fmt.Errorf("nothing was changed: %w", refused)
	}
	if o.dryRun || !(confirmation{o.streams, o.yes}).possible() {
		return o.execute(ctx, c, r, plan)
	}
	return o.runRecorded(ctx, c, r, plan)
}

// runRecorded brings a set back and keeps a journal of the run.
func (o *recoveryRestore) runRecorded(ctx context.Context, c *cluster, r *recovery.Recovery, plan *recovery.Plan) error {
	keeper, err := c.journals(ctx)
	if err != nil {
		return c.explain(err)
	}
	if plan.Work() == 0 {
		// A run that was killed after its last object has left its journal open.
		unfinished, err := keeper.Peek(ctx, recovery.OperationRestore, plan.Set.Path())
		if err != nil {
			return c.explain(err)
		}
		if unfinished == nil {
			return o.execute(ctx, c, r, plan)
		}
	}
	work, ctx, err := keeper.Open(ctx, recovery.OperationRestore, plan.Set.Path(), "holdfast recovery restore --set "+plan.Set.ID)
	if err != nil {
		return c.explain(err)
	}
	if err := o.execute(ctx, c, r, plan); err != nil {
		work.Leave(ctx)
		return err
	}
	return c.explain(work.Close(ctx))
}

// refusalOf is why a set is not brought back at all; nil if it is.
func refusalOf(plan *recovery.Plan) error {
	if plan.Release != nil && plan.Release.Refused != "" {
		return fmt.Errorf("Helm release %s: %s", plan.Release.Key(), plan.Release.Refused) //nolint:staticcheck // a name
	}
	switch refused := plan.Refusals(); len(refused) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s: %s", refused[0], refused[0].Reason)
	default:
		return fmt.Errorf("%d of %s cannot be brought back as things are; the first: %s: %s", len(refused), objects(len(plan.Items)), refused[0], refused[0].Reason)
	}
}

// runIDs brings back objects from single snapshots.
func (o *recoveryRestore) runIDs(ctx context.Context, args []string) error {
	var ids []string
	paths := map[string]namedSnapshot{}
	for _, arg := range args {
		named, err := snapshotID(arg)
		if err != nil {
			return err
		}
		ids = append(ids, named.id)
		if named.path != "" {
			paths[named.id] = named
		}
	}
	c, r, err := o.connect(ctx)
	if err != nil {
		return err
	}
	plan, err := r.PlanRestore(ctx, ids, o.how)
	if errors.Is(err, recovery.ErrSameObject) || errors.Is(err, recovery.ErrSelectsNothing) {
		return usagef("%w", err)
	}
	if err != nil {
		return c.explain(unknownSnapshot(ctx, r.Snapshots, err, ids...))
	}
	for _, item := range plan.Items {
		if named, ok := paths[item.Snapshot]; ok && item.SnapshotPath() != named.path && item.SnapshotPath() != item.Snapshot {
			return usagef("snapshot %s is %s, not %s", item.Snapshot, item.SnapshotPath(), named.path)
		}
	}
	return o.execute(ctx, c, r, plan)
}
