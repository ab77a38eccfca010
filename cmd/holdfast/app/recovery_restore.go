// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery"
)

func newRecoveryRestoreCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryRun{streams: streams}
	cmd := &cobra.Command{
		Use:   "restore ID... | release NAME",
		Short: "Bring back objects that are gone, from their snapshots",
		Long: `Bring back objects that are gone, each from the snapshot that is named by its
ID or by a whole line of 'holdfast recovery list -o name'.

The objects get new UIDs. What the API server or the garbage collector had
written is left out, the finalizers of their product stay, references to owners
are pointed at the owners that are there now, and the status is replayed where
the profile says so. When the command was interrupted, run it again: it
finishes what it began. The snapshot is kept. 'holdfast serve' is not needed.

"release NAME" brings a Helm release back that is gone, or was left uninstalling
or failed: its stored manifest and hooks are applied again as they are, from its
saved Secrets, without the chart. Helm 3 and Helm 4 go on from there.`,
		Example: `  holdfast recovery restore 3x7kq2m5ab4cd6ef
  holdfast recovery restore 3x7kq2m5ab4cd6ef --dry-run -o json
  holdfast recovery restore release astarte-operator -n kube-system`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			name, isRelease, err := releaseNamed(args)
			switch {
			case err != nil:
				return err
			case isRelease:
				return restoreRelease(quietly(cmd.Context()), o, name)
			}
			return runRestore(quietly(cmd.Context()), o, args)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func runRestore(ctx context.Context, o *recoveryRun, args []string) error {
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
	plan, err := r.PlanRestore(ctx, ids, o.dryRun)
	if errors.Is(err, recovery.ErrSameObject) {
		return usagef("%w", err)
	}
	if err != nil {
		return c.explain(unknownSnapshot(err))
	}
	for _, item := range plan.Items {
		if named, ok := paths[item.Snapshot]; ok && item.SnapshotPath() != named.path && item.SnapshotPath() != item.Snapshot {
			return usagef("snapshot %s is %s, not %s", item.Snapshot, item.SnapshotPath(), named.path)
		}
	}
	return o.execute(ctx, c, r, plan)
}
