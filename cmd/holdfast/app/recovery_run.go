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
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery"
)

// recoveryRun is what undo and restore have in common: the plan is printed,
// confirmed and run.
type recoveryRun struct {
	streams  genericiooptions.IOStreams
	flags    *clusterFlags
	profiles *profileFlags
	output   *outputFlag
	yes      bool
	dryRun   bool
	show     *waiting // what is waited for; nil until there is something
}

func (o *recoveryRun) addFlags(cmd *cobra.Command) {
	o.flags = addClusterFlags(cmd)
	o.profiles = addProfileFlags(cmd.Flags(), "those that 'holdfast serve' runs with")
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML, outputName)
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do it without asking")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan, try it without effect on the API server, and change nothing")
}

// connect is the cluster and the recovery in it.
func (o *recoveryRun) connect(ctx context.Context) (*cluster, *recovery.Recovery, error) {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return nil, nil, err
	}
	set, err := o.profiles.forCluster(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	store, err := c.snapshots()
	if err != nil {
		return nil, nil, err
	}
	return c, &recovery.Recovery{
		Client: c.dynamic, Metadata: c.metadata, Mapper: c.mapper, Discovery: c.discovery,
		Snapshots: store, Profiles: set, User: whoAmI(ctx, c).Username, Now: time.Now,
		Helm: c.helm(), Tell: o.tell,
	}, nil
}

// execute prints plan and, once it is confirmed, runs it.
func (o *recoveryRun) execute(ctx context.Context, c *cluster, r *recovery.Recovery, plan *recovery.Plan) error {
	confirm := confirmation{o.streams, o.yes}
	if err := o.showPlan(plan, o.dryRun || plan.Work() > 0 && !confirm.possible()); err != nil {
		return err
	}
	if o.dryRun {
		return errors.Join(o.printChanges(plan), refusals(plan))
	}
	if plan.Work() > 0 {
		if err := confirm.ask(ctx, fmt.Sprintf("Bring back %s?", objects(plan.Work()))); err != nil {
			return err
		}
	}
	outcomes := r.Run(ctx, plan, func(out *recovery.Outcome) {
		if o.show != nil {
			o.show.end()
		}
		if !o.output.structured() {
			o.printOutcome(out)
		}
	})
	// What went wrong with the objects themselves is more important than what
	// cannot be told of others.
	referrers, err := r.Judge(ctx, outcomes)
	if err != nil {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "warning: not judged whether what refers to them is well: %v\n", err)
	}
	if !o.output.structured() {
		for _, of := range referrers {
			_, _ = fmt.Fprintln(o.streams.ErrOut, of)
		}
		return c.explain(judge(outcomes))
	}
	report := map[string]any{"operation": plan.Operation, "outcomes": outcomes}
	if len(referrers) > 0 {
		report["referrers"] = referrers
	}
	if err := printStructured(o.streams.Out, o.output.format, report); err != nil {
		return err
	}
	return c.explain(judge(outcomes))
}

// showPlan prints what is planned, to stdout when that is all that this run gives.
func (o *recoveryRun) showPlan(plan *recovery.Plan, only bool) error {
	switch {
	case only:
		return o.printPlan(o.streams.Out, plan)
	case plan.Work() > 0:
		return planText(o.streams.ErrOut, plan)
	default:
		return nil
	}
}

func (o *recoveryRun) printOutcome(out *recovery.Outcome) {
	for _, warning := range out.Warnings {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "warning: %s: %s\n", out, warning)
	}
	if o.output.format == outputName {
		if out.Result == recovery.ResultDone {
			_, _ = fmt.Fprintf(o.streams.Out, "%s/%s\n", out.Resource, out.Name)
		}
		return
	}
	switch out.Result {
	case recovery.ResultDone:
		text := fmt.Sprintf("%s: brought back", out)
		if out.Snapshot != "" {
			text += " from " + out.Snapshot
		}
		if out.Missing > 0 {
			text += fmt.Sprintf(", missing for %s", out.Missing.Round(100*time.Microsecond))
		}
		_, _ = fmt.Fprintln(o.streams.Out, text)
	case recovery.ResultSkipped:
		_, _ = fmt.Fprintf(o.streams.Out, "%s: skipped: %s\n", out, out.Reason)
	case recovery.ResultFailed:
		_, _ = fmt.Fprintf(o.streams.Out, "%s: failed: %s\n", out, out.Reason)
	}
}

// judge is the exit of a run with these outcomes.
func judge(outcomes []*recovery.Outcome) error {
	var failed []*recovery.Outcome
	done := 0
	for _, out := range outcomes {
		switch out.Result {
		case recovery.ResultDone:
			done++
		case recovery.ResultFailed:
			failed = append(failed, out)
		case recovery.ResultSkipped:
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case done > 0:
		return &exitError{exitPartly, fmt.Errorf("%d of %s not brought back; the first: %s: %s", len(failed), objects(len(outcomes)), failed[0], failed[0].Reason)}
	case failed[0].Err != nil:
		return fmt.Errorf("%s: %w", failed[0], failed[0].Err)
	default:
		return fmt.Errorf("%s: %s", failed[0], failed[0].Reason)
	}
}

// refusals is the exit of a dry run.
func refusals(plan *recovery.Plan) error {
	var first *recovery.Item
	n := 0
	for _, item := range plan.Items {
		if item.Action == recovery.ActionRefuse {
			n++
			if first == nil {
				first = item
			}
		}
	}
	switch {
	case n == 0:
		return nil
	case plan.Work() > 0:
		return &exitError{exitPartly, fmt.Errorf("%d of %s cannot be brought back; the first: %s: %s", n, objects(len(plan.Items)), first, first.Reason)}
	default:
		return fmt.Errorf("%s: %s", first, first.Reason)
	}
}

func (o *recoveryRun) printPlan(out io.Writer, plan *recovery.Plan) error {
	switch {
	case o.output.structured():
		return printStructured(out, o.output.format, plan)
	case o.output.format == outputName:
		for _, item := range plan.Items {
			if item.Action == recovery.ActionSkip || item.Action == recovery.ActionRefuse {
				continue
			}
			if _, err := fmt.Fprintf(out, "%s/%s\n", item.Resource, item.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return planText(out, plan)
}

// planText prints plan for people.
func planText(out io.Writer, plan *recovery.Plan) error {
	w := &lines{out: out}
	w.line("Plan: %s %s", plan.Operation, objects(plan.Work()))
	if plan.Set != nil {
		w.line("  of set %s, taken %s", plan.Set.Path(), timestamp(plan.Set.LastAt))
	}
	for _, note := range plan.Notes {
		w.line("  note: %s", note)
	}
	for _, warning := range plan.Warnings {
		w.line("  warning: %s", warning)
	}
	if plan.Release != nil && w.err == nil {
		w.err = releaseText(out, plan.Release)
	}
	for _, item := range plan.Items {
		switch item.Action {
		case recovery.ActionSkip:
			w.line("  %s: skipped: %s", item, item.Reason)
			continue
		case recovery.ActionRefuse:
			w.line("  %s: not possible: %s", item, item.Reason)
			continue
		case recovery.ActionFinish:
			w.line("  %s: finish what an interrupted run has created", item)
		case recovery.ActionUndo, recovery.ActionCreate, recovery.ActionRescue, recovery.ActionMerge, recovery.ActionReplace:
			w.line("  %s", item)
		}
		for i, step := range item.Steps {
			w.line("    %d. %s", i+1, step)
		}
		for _, warning := range item.Warnings {
			w.line("    warning: %s", warning)
		}
	}
	return w.err
}

// printChanges prints what a dry run has found out that would change.
func (o *recoveryRun) printChanges(plan *recovery.Plan) error {
	if o.output.format != outputTable {
		return nil
	}
	w := &lines{out: o.streams.Out}
	for _, item := range plan.Items {
		if item.After() == nil {
			continue
		}
		before := side{"live " + item.String(), item.Before()}
		if before.object == nil {
			before.title += ": it is gone"
		}
		w.difference(before, side{"restored from " + item.Snapshot, item.After()}, false)
	}
	return w.err
}

// lines prints lines until one fails.
type lines struct {
	out io.Writer
	err error
}

func (l *lines) line(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.out, format+"\n", args...)
	}
}

func objects(n int) string {
	if n == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", n)
}

// timestamp prints times as every command does.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
