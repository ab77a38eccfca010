// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/helmrelease"
	"github.com/holdfast-dev/holdfast/recovery/rescue"
)

// helm is what brings Helm releases of the cluster back.
func (c *cluster) helm() *helmrelease.Helm {
	return &helmrelease.Helm{Client: c.dynamic, Kube: c.kube, Mapper: c.mapper, Now: time.Now}
}

// releaseNamed is the name of the release in "release NAME" or "release/NAME";
// ok is false when the arguments are something else.
func releaseNamed(args []string) (name string, ok bool, err error) {
	if len(args) == 0 || resourceWord(args) != v1alpha1.ReleaseResource {
		return "", false, nil
	}
	_, name, slash := strings.Cut(args[0], "/")
	if !slash && len(args) == 2 {
		name = args[1]
	}
	if name == "" || slash && len(args) > 1 {
		return "", false, usagef("name one Helm release: release NAME, or release/NAME")
	}
	return name, true, nil
}

// planRelease plans to bring back a release from what is saved and what is there.
func (c *cluster) planRelease(ctx context.Context, key release.Key) (*helmrelease.Plan, error) {
	store, err := c.snapshots()
	if err != nil {
		return nil, err
	}
	saved, err := helmrelease.Saved(ctx, store, key)
	if err != nil {
		return nil, err
	}
	plan, err := c.helm().Plan(ctx, key, saved)
	if errors.Is(err, helmrelease.ErrUnknown) {
		return nil, usagef("%w; 'helm list -a -A' shows what Helm knows, 'holdfast recovery list secrets -n %s' what is saved", err, key.Namespace)
	}
	return plan, err
}

// restoreRelease brings a Helm release back.
func restoreRelease(ctx context.Context, o *recoveryRun, name string) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	plan, err := c.planRelease(ctx, release.Key{Namespace: c.namespace, Name: name})
	if err != nil {
		return c.explain(err)
	}
	confirm := confirmation{o.streams, o.yes}
	if o.dryRun || plan.Refused != "" || plan.Work() == 0 || !confirm.possible() {
		if err := o.printRelease(o.streams.Out, plan); err != nil {
			return err
		}
	} else if err := releaseText(o.streams.ErrOut, plan); err != nil {
		return err
	}
	switch {
	case plan.Refused != "":
		return fmt.Errorf("bring back Helm release %s: %s", plan.Key(), plan.Refused)
	case o.dryRun, plan.Work() == 0:
		return nil
	}
	if err := confirm.ask(ctx, fmt.Sprintf("Bring back Helm release %s?", plan.Key())); err != nil {
		return err
	}
	if err := c.helm().Apply(ctx, plan, o.tell); err != nil {
		return c.explain(fmt.Errorf("bring back Helm release %s: %w", plan.Key(), err))
	}
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, map[string]any{"operation": "restore", "release": plan, "result": "done"})
	}
	_, err = fmt.Fprintf(o.streams.Out, "release %s: brought back, revision %d is deployed\n", plan.Key(), plan.Revision)
	return err
}

// tell shows what is done and waited for, as the rescue does.
func (o *recoveryRun) tell(p helmrelease.Progress) {
	if o.show == nil {
		o.show = newWaiting(o.streams.ErrOut, isTerminal(o.streams.In) && !o.output.structured())
	}
	if p.Wait != "" {
		o.show.tell(rescue.Event{Step: "restore", Text: p.Wait, Waited: max(p.For, 1)})
		return
	}
	o.show.tell(rescue.Event{Step: "restore", Text: p.Do})
}

func (o *recoveryRun) printRelease(out io.Writer, plan *helmrelease.Plan) error {
	if o.output.structured() {
		return printStructured(out, o.output.format, map[string]any{"operation": "restore", "release": plan})
	}
	return releaseText(out, plan)
}

// releaseText prints plan for people.
func releaseText(out io.Writer, plan *helmrelease.Plan) error {
	w := &lines{out: out}
	if plan.Work() == 0 && plan.Refused == "" {
		w.line("Helm release %s is deployed (revision %d), and all of its objects are there: nothing to do.", plan.Key(), plan.Revision)
		return w.err
	}
	w.line("Plan: bring back Helm release %s, revision %d (%s), which is %s", plan.Key(), plan.Revision, dash(plan.Chart), plan.State)
	for _, object := range plan.Objects {
		what := "create"
		switch object.Presence {
		case helmrelease.Missing:
		case helmrelease.Present:
			what = "apply again"
		case helmrelease.Adopted:
			what = "adopt"
		case helmrelease.Newer:
			what = "keep, and adopt"
		case helmrelease.Going:
			what = "wait until the Terminating one is gone, then create"
		}
		if object.Hook != "" {
			what = object.Hook + " hook: " + what
		}
		w.line("  %s %s", what, object)
	}
	if plan.History > 0 {
		w.line("  put back %d older revisions for 'helm rollback'", plan.History)
	}
	for _, note := range plan.Notes {
		w.line("  note: %s", note)
	}
	if plan.Refused != "" {
		w.line("  not possible: %s", plan.Refused)
	}
	return w.err
}
