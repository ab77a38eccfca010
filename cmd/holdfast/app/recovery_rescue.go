// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/rescue"
)

// astartesNamed are the Astartes that args name, if they name nothing else. The
// cluster need not serve them: in the middle of a rescue it does not.
func astartesNamed(args []string, namespace string) ([]types.NamespacedName, bool) {
	resource, names := args[0], args[1:]
	if strings.Contains(args[0], "/") {
		names = nil
		for _, arg := range args {
			var name string
			if resource, name, _ = strings.Cut(arg, "/"); !meansAstartes(resource) {
				return nil, false
			}
			names = append(names, name)
		}
	}
	if !meansAstartes(resource) || len(names) == 0 {
		return nil, false
	}
	var all []types.NamespacedName
	for _, name := range names {
		if name == "" || strings.Contains(name, "/") {
			return nil, false // the usual way tells what is wrong with it
		}
		all = append(all, types.NamespacedName{Namespace: namespace, Name: name})
	}
	return all, true
}

func meansAstartes(resource string) bool {
	name, group, _ := strings.Cut(strings.ToLower(resource), ".")
	own := rescue.Astartes()
	return (name == own.Resource || name == "astarte") && (group == "" || group == own.Group || strings.HasSuffix(group, "."+own.Group))
}

// runRescue rescues the named Astartes. ok is false when they need none, so
// that what is to be said of them is said the usual way.
func (o *recoveryRun) runRescue(ctx context.Context, c *cluster, r *recovery.Recovery, args []string) (ok bool, err error) {
	names, only := astartesNamed(args, c.namespace)
	if !only {
		return false, nil
	}
	journals, err := c.journals(ctx)
	if err != nil {
		return true, c.explain(err)
	}
	show := newWaiting(o.streams.ErrOut, isTerminal(o.streams.In) && !o.output.structured())
	defer show.end()
	rescuer := &rescue.Rescue{
		Recovery: r, Journals: journals, Tell: show.tell,
		Operator: &operatorRelease{run: o, tell: show.tell, hand: o.byHand(c, r, show)},
		Fresh: func(ctx context.Context) (*recovery.Recovery, error) {
			_, fresh, err := o.connect(ctx)
			return fresh, err
		},
	}
	plan, err := rescuer.Plan(ctx, names)
	switch {
	case errors.Is(err, rescue.ErrNotTerminating):
		return false, nil
	case errors.Is(err, rescue.ErrGone):
		return true, usagef("%w", err)
	case err != nil:
		return true, c.explain(err)
	}
	return true, o.rescue(ctx, c, rescuer, plan, args)
}

// byHand is the operator that has to be brought back by hand.
func (o *recoveryRun) byHand(c *cluster, r *recovery.Recovery, show *waiting) rescue.ByHand {
	return rescue.ByHand{
		Snapshots: r.Snapshots, Restore: "holdfast recovery restore" + c.elsewhere(),
		Tell: func(text string) { show.tell(rescue.Event{Step: "operator", Text: text}) },
	}
}

// elsewhere is the flag that a command needs to find this Holdfast's namespace.
func (c *cluster) elsewhere() string {
	if c.holdfastNamespace == defaultHoldfastNamespace {
		return ""
	}
	return " --holdfast-namespace " + c.holdfastNamespace
}

func (o *recoveryRun) rescue(ctx context.Context, c *cluster, rescuer *rescue.Rescue, plan *rescue.Plan, args []string) error {
	confirm := confirmation{o.streams, o.yes}
	if o.dryRun || !confirm.possible() {
		if err := o.printPlan(o.streams.Out, plan.Plan); err != nil {
			return err
		}
		if o.dryRun {
			return nil
		}
	} else if err := planText(o.streams.ErrOut, plan.Plan); err != nil {
		return err
	}
	if u := plan.Unfinished; u != nil {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "A rescue that was begun at %s was interrupted after step %q; it is taken up there.\n", timestamp(u.Begun), u.Last())
	}
	if err := confirm.typed(ctx, "begin", strings.Join(plan.Names(), " "), "--yes to do it"); err != nil {
		return err
	}
	outcomes, err := rescuer.Run(ctx, plan, fmt.Sprintf("holdfast recovery undo %s -n %s%s", strings.Join(args, " "), c.namespace, c.elsewhere()))
	if o.output.structured() {
		if err := printStructured(o.streams.Out, o.output.format, map[string]any{"operation": plan.Operation, "outcomes": outcomes}); err != nil {
			return err
		}
	} else {
		for _, out := range outcomes {
			o.printOutcome(out)
		}
	}
	if err != nil {
		for _, out := range outcomes {
			if out.Result == recovery.ResultDone {
				return &exitError{exitPartly, c.explain(err)}
			}
		}
		return c.explain(err)
	}
	return c.explain(judge(outcomes))
}
