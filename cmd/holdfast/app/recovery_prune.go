// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/retention"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

type recoveryPruneOptions struct {
	streams genericiooptions.IOStreams
	flags   *clusterFlags
	keep    *retentionFlags
	output  *outputFlag
	yes     bool
	dryRun  bool
}

func newRecoveryPruneCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryPruneOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove saved versions that need not be kept",
		Long: `Remove saved versions that need not be kept: those beyond --keep-versions of an
object, those older than --keep-for, and the oldest while all together take more
than --keep-bytes. 'holdfast serve' does the same by itself, with its own flags.

Never removed are the latest version of an object, whether that still exists or
not, what a recovery works from, what is pinned ('holdfast recovery pin'), and
what cannot be read.`,
		Example: `  holdfast recovery prune --dry-run
  holdfast recovery prune --keep-versions 3 --yes`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			policy, err := o.keep.policy()
			if err != nil {
				return err
			}
			return o.run(quietly(cmd.Context()), policy)
		},
	}
	o.flags = addClusterFlags(cmd)
	o.keep = addRetentionFlags(cmd.Flags())
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML, outputName)
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do it without asking")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would be removed, and change nothing")
	return cmd
}

func (o *recoveryPruneOptions) run(ctx context.Context, policy snapshot.Policy) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	store, err := c.snapshots()
	if err != nil {
		return err
	}
	keeper := &retention.Keeper{Snapshots: store, Policy: policy, Now: time.Now}
	plan, err := keeper.Plan(ctx)
	if err != nil {
		return c.explain(err)
	}
	confirm := confirmation{o.streams, o.yes}
	out := o.streams.Out
	if len(plan.Remove) > 0 && !o.dryRun && confirm.possible() {
		out = o.streams.ErrOut // the outcome is the output
	}
	if err := o.printPlan(out, &plan); err != nil || o.dryRun {
		return err
	}
	if len(plan.Remove)+len(plan.Sets) > 0 {
		if err := confirm.ask(ctx, fmt.Sprintf("Remove %s and %d sets for good?", snapshots(len(plan.Remove)), len(plan.Sets))); err != nil {
			return err
		}
	}
	for _, set := range plan.Sets {
		if err := store.RemoveSet(ctx, set); err != nil && !errors.Is(err, snapshot.ErrInUse) {
			return c.explain(err)
		}
	}
	err = o.remove(ctx, store, plan.Remove)
	swept, sweepErr := keeper.SweepTorn(ctx)
	if swept > 0 {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "Removed %d parts of writes that were cut off.\n", swept)
	}
	if err == nil {
		err = sweepErr
	}
	return c.explain(err)
}

// remove removes one after the other, and tells what became of each.
func (o *recoveryPruneOptions) remove(ctx context.Context, store *snapshot.Store, removals []snapshot.Removal) error {
	var first error
	done, failed := 0, 0
	for _, r := range removals {
		err := ctx.Err()
		if err == nil {
			err = store.Remove(ctx, r.Record)
		}
		text := "removed"
		switch {
		case errors.Is(err, snapshot.ErrInUse):
			text = "stays: it was used meanwhile"
		case err != nil:
			text = "failed: " + oneLine(err)
			failed++
			if first == nil {
				first = err
			}
		default:
			done++
		}
		switch {
		case o.output.format != outputName:
			_, _ = fmt.Fprintf(o.streams.ErrOut, "%s: %s\n", r.Path(), text)
		case text == "removed":
			_, _ = fmt.Fprintln(o.streams.Out, r.Path())
		}
	}
	switch {
	case failed == 0:
		return nil
	case done > 0:
		return &exitError{exitPartly, fmt.Errorf("%d of %s not removed; the first: %w", failed, snapshots(len(removals)), first)}
	default:
		return first
	}
}

func (o *recoveryPruneOptions) printPlan(out io.Writer, plan *snapshot.Retained) error {
	switch {
	case o.output.structured():
		if plan.Remove == nil {
			plan.Remove = []snapshot.Removal{}
		}
		return printStructured(out, o.output.format, map[string]any{"remove": plan.Remove, "removeSets": plan.Sets, "kept": map[string]any{
			"count": plan.Count, "bytes": plan.Bytes, "oldest": plan.Oldest, "bytesOver": plan.Over,
		}})
	case o.output.format == outputName:
		for _, r := range plan.Remove {
			if _, err := fmt.Fprintln(out, r.Path()); err != nil {
				return err
			}
		}
		return nil
	}
	stays := fmt.Sprintf("%s, about %s", snapshots(plan.Count), resource.NewQuantity(plan.Bytes, resource.BinarySI))
	if plan.Over > 0 {
		stays += fmt.Sprintf(", that is %d bytes more than --keep-bytes; but none of them may go", plan.Over)
	}
	if len(plan.Sets) > 0 {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "%d sets that later ones replace would go.\n", len(plan.Sets))
	}
	if len(plan.Remove) == 0 && len(plan.Sets) == 0 {
		_, err := fmt.Fprintf(o.streams.ErrOut, "Nothing is to be removed. There are %s.\n", stays)
		return err
	}
	rows := make([][]string, 0, len(plan.Remove))
	for i := range plan.Remove {
		r := &plan.Remove[i]
		rows = append(rows, []string{
			r.ID, r.Resource, dash(r.Namespace), r.Name,
			duration.HumanDuration(max(time.Since(r.LastAt()), 0)), stateOf(&r.Record), r.Why,
		})
	}
	if err := printTable(out, []string{"ID", "RESOURCE", "NAMESPACE", "NAME", "SAVED", "STATE", "WHY"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(o.streams.ErrOut, "%s would go; what stays: %s.\n", snapshots(len(plan.Remove)), stays)
	return err
}

func snapshots(n int) string {
	if n == 1 {
		return "1 snapshot"
	}
	return fmt.Sprintf("%d snapshots", n)
}
