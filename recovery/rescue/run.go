// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
)

// stage is one step of a rescue, as the journal records it.
type stage struct {
	name string
	// text says what is being done.
	text string
	do   func(context.Context) error
}

// Run does what plan says. command is the command line that finishes it when it
// is interrupted. The outcomes are those of the Astartes and of what was created
// after them; after an error there may be fewer.
func (r *Rescue) Run(ctx context.Context, plan *Plan, command string) (outcomes []*recovery.Outcome, err error) {
	j, working, err := r.Journals.Open(ctx, Operation, Astartes().String(), command)
	if err != nil {
		return nil, err
	}
	defer j.Leave(ctx)
	j.Recorded = r.Recorded
	if plan.stale {
		// What it has set aside is put back, and it makes way for this one.
		if err := errors.Join(r.putBack(working, j), j.Close(working)); err != nil {
			return nil, err
		}
		if j, working, err = r.Journals.Open(ctx, Operation, Astartes().String(), command); err != nil {
			return nil, err
		}
		defer j.Leave(ctx)
		j.Recorded = r.Recorded
	}
	w := plan.ward
	if known, err := j.Recall(wardKey, w); err != nil {
		return nil, err
	} else if !known {
		if err := j.Remember(working, wardKey, w); err != nil {
			return nil, err
		}
	}
	if err := r.letGo(working, j, w); err != nil {
		// What is set aside is put back also when it went wrong; the next run sets
		// it aside again.
		return r.ended(w, err), errors.Join(err, r.putBack(context.WithoutCancel(ctx), j))
	}
	if err := r.comeBack(working, j, w); err != nil {
		return r.ended(w, err), err
	}
	outcomes = r.ended(w, nil)
	referrers, err := r.referrersBack(working, j, w)
	outcomes = append(outcomes, referrers...)
	if err != nil {
		return outcomes, err
	}
	return outcomes, j.Close(working)
}

func (r *Rescue) through(ctx context.Context, j *journal.Journal, stages []stage) error {
	for _, s := range stages {
		if j.Did(s.name) {
			continue
		}
		r.say(s.name, s.text)
		if err := j.Do(ctx, s.name, s.do); err != nil {
			return fmt.Errorf("%s: %w", s.text, err)
		}
	}
	return nil
}

// letGo lets the old objects go, and nothing with them.
func (r *Rescue) letGo(ctx context.Context, j *journal.Journal, w *ward) error {
	save := stage{"save", "save the Astartes and their Secrets", func(ctx context.Context) error {
		for _, p := range w.Patients {
			if err := r.save(ctx, p); err != nil {
				return err
			}
		}
		if err := r.saveStuck(ctx, w); err != nil {
			return err
		}
		return j.Remember(ctx, wardKey, w)
	}}
	if err := r.through(ctx, j, []stage{save}); err != nil {
		return err
	}
	if !r.allStripped(j, w) {
		if err := r.makeReadable(ctx, j, w); err != nil {
			return err
		}
	}
	var stages []stage
	for _, p := range w.Patients {
		stages = append(stages,
			stage{"freeze " + p.String(), "freeze astarte " + p.String(), func(ctx context.Context) error { return r.freeze(ctx, j, p) }},
			stage{"orphan " + p.String(), "set free what belongs to astarte " + p.String(), func(ctx context.Context) error { return r.orphan(ctx, p) }})
	}
	for _, p := range w.Patients {
		stages = append(stages,
			stage{"strip " + p.String(), "remove the finalizers of astarte " + p.String(), func(ctx context.Context) error { return r.strip(ctx, j, p) }})
	}
	for _, d := range w.Stuck {
		stages = append(stages,
			stage{"kind " + d.Resource, "let the definition of " + d.Resource + " go", func(ctx context.Context) error { return r.letDefinitionGo(ctx, j, d) }})
	}
	if err := r.through(ctx, j, stages); err != nil {
		return err
	}
	return r.putBack(ctx, j)
}

func (r *Rescue) allStripped(j *journal.Journal, w *ward) bool {
	for _, p := range w.Patients {
		if !j.Did("strip " + p.String()) {
			return false
		}
	}
	return true
}

// comeBack brings back the operator and the Astartes.
func (r *Rescue) comeBack(ctx context.Context, j *journal.Journal, w *ward) error {
	stages := []stage{
		{"definition", "wait until their definition is gone", func(ctx context.Context) error { return r.definitionGone(ctx, w) }},
		{"operator", "bring the operator back", func(ctx context.Context) error { return r.bringOperatorBack(ctx, w) }},
		{"ready", "wait until the operator's webhooks answer", func(ctx context.Context) error { return r.answering(ctx, w) }},
	}
	if !w.Going {
		stages = stages[1:]
	}
	for _, p := range w.Patients {
		stages = append(stages,
			stage{"create " + p.String(), "create astarte " + p.String() + " in maintenance mode", func(ctx context.Context) error { return r.create(ctx, p) }},
			stage{"status " + p.String(), "replay the status of astarte " + p.String(), func(ctx context.Context) error { return r.replayStatus(ctx, p) }},
			stage{"thaw " + p.String(), "set the maintenance mode of astarte " + p.String() + " back to " + p.mode(), func(ctx context.Context) error { return r.thaw(ctx, p) }},
			stage{"verify " + p.String(), "check what belongs to astarte " + p.String(), func(ctx context.Context) error { return r.verify(ctx, p) }})
	}
	return r.through(ctx, j, stages)
}

// referrersBack creates again what names the Astartes and went with its definition.
func (r *Rescue) referrersBack(ctx context.Context, j *journal.Journal, w *ward) (outcomes []*recovery.Outcome, err error) {
	ids := w.goesAlong()
	if len(ids) == 0 {
		return nil, nil
	}
	err = r.through(ctx, j, []stage{{"referrers", fmt.Sprintf("create again what names them: %s", strings.Join(ids, ", ")), func(ctx context.Context) error {
		err := r.wait(ctx, pending{
			step: "referrers", what: "what names them to be created", limit: webhookLimit,
			ready: func(ctx context.Context) (bool, string, error) {
				fresh, err := r.Fresh(ctx)
				if err != nil {
					return false, "", err
				}
				if outcomes, err = restoreAll(ctx, fresh, ids); err != nil {
					return false, "", err
				}
				for _, o := range outcomes {
					// What was refused when it was planned will be so again.
					if again := o.Result == recovery.ResultFailed && o.Err != nil; again {
						return false, o.String() + ": " + o.Reason, nil
					}
				}
				return true, "", nil
			},
		})
		if errors.Is(err, errInVain) {
			return nil // the outcomes say what did not come back, and can be restored by themselves
		}
		return err
	}}})
	return outcomes, err
}

func restoreAll(ctx context.Context, fresh *recovery.Recovery, ids []string) ([]*recovery.Outcome, error) {
	plan, err := fresh.PlanRestore(ctx, ids, recovery.RestoreOptions{})
	if err != nil {
		return nil, err
	}
	return fresh.Run(ctx, plan, func(*recovery.Outcome) {}), nil
}

// ended are the outcomes of the Astartes.
func (r *Rescue) ended(w *ward, err error) []*recovery.Outcome {
	var outcomes []*recovery.Outcome
	for _, p := range w.Patients {
		o := &recovery.Outcome{Resource: Astartes().String(), Namespace: p.Namespace, Name: p.Name, Snapshot: p.Snapshot, Result: recovery.ResultDone}
		if err != nil {
			o.Result, o.Reason, o.Err = recovery.ResultFailed, err.Error(), err
		}
		outcomes = append(outcomes, o)
	}
	return outcomes
}
