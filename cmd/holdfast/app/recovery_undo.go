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

func newRecoveryUndoCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryRun{streams: streams}
	cmd := &cobra.Command{
		Use:   "undo RESOURCE NAME...",
		Short: "Bring back objects that are Terminating",
		Long: `Bring back objects that were deleted and are held by their finalizers.

What is deleted cannot be revived: each object is saved as it is, its
finalizers are removed, with which it goes, and it is created again at once,
its status included where its profile says so. Several objects are brought back
in the order in which they need each other. When the command was interrupted,
run it again: it finishes what it began. 'holdfast serve' is not needed.

An Astarte is rescued, with all that are Terminating with its definition: what
belongs to it, its Secrets and volumes above all, stays as it is, and its
operator is brought back before it is created again.`,
		Example: `  holdfast recovery undo tier n0.small -n nuodb-cp-system
  holdfast recovery undo helmfeature/small-resources servicetier/n0.small -n nuodb-cp-system --dry-run
  holdfast recovery undo astartes.api.astarte-platform.org astarte -n astarte`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return runUndo(quietly(cmd.Context()), o, args)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func runUndo(ctx context.Context, o *recoveryRun, args []string) error {
	c, r, err := o.connect(ctx)
	if err != nil {
		return err
	}
	if rescued, err := o.runRescue(ctx, c, r, args); rescued || err != nil {
		return err
	}
	named, err := c.targets(ctx, args)
	if err != nil {
		return c.explain(err)
	}
	var targets []recovery.Target
	for _, t := range named {
		targets = append(targets, recovery.Target{Mapping: t.mapping, Namespace: t.namespace, Name: t.name})
	}
	plan, err := r.PlanUndo(ctx, targets)
	if errors.Is(err, recovery.ErrNoObject) {
		return usagef("%w", err)
	}
	if err != nil {
		return c.explain(err)
	}
	return o.execute(ctx, c, r, plan)
}
