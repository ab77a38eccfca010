// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// gapLimit bounds the time that is spent on creating one object again. Within
// it a cancelled context does not stop the work: an object must not stay away
// because somebody lost patience.
const gapLimit = 30 * time.Second

// Run does what plan says, one object after the other, and tells each as it
// ends. A cancelled context stops it between two objects.
func (r *Recovery) Run(ctx context.Context, plan *Plan, tell func(*Outcome)) []*Outcome {
	var outcomes []*Outcome
	end := func(o *Outcome) {
		outcomes = append(outcomes, o)
		tell(o)
	}
	if item, err := r.freeLeftovers(ctx, plan); err != nil {
		end(&Outcome{Resource: item.Resource, Namespace: item.Namespace, Name: item.Name, Snapshot: item.Snapshot, Result: ResultFailed, Reason: err.Error(), Err: err})
		return outcomes
	}
	if o := r.runRelease(ctx, plan); o != nil {
		end(o)
		if o.Result == ResultFailed {
			return outcomes // its definitions, or its operator, are what the rest needs
		}
	}
	done := map[*Item]*Outcome{}
	for _, item := range plan.Items {
		done[item] = r.runItem(ctx, plan, item, done)
		end(done[item])
	}
	r.lookAgain(ctx, plan, done, tell)
	return outcomes
}

// runRelease brings back the Helm release of a plan; nil if there is nothing to do.
func (r *Recovery) runRelease(ctx context.Context, plan *Plan) *Outcome {
	if plan.Release == nil || (plan.Release.Work() == 0 && plan.Release.Refused == "") {
		return nil
	}
	o := &Outcome{Resource: v1alpha1.ReleaseResource, Namespace: plan.Release.Namespace, Name: plan.Release.Name, Result: ResultDone}
	if err := r.Helm.Apply(ctx, plan.Release, r.told); err != nil {
		o.Result, o.Reason, o.Err = ResultFailed, err.Error(), err
	}
	return o
}

func (r *Recovery) runItem(ctx context.Context, plan *Plan, item *Item, done map[*Item]*Outcome) *Outcome {
	o := &Outcome{Resource: item.Resource, Namespace: item.Namespace, Name: item.Name, Snapshot: item.Snapshot, Result: ResultDone}
	var err error
	switch {
	case item.Action == ActionSkip:
		o.Result, o.Reason = ResultSkipped, item.Reason
		return o
	case item.Action == ActionRefuse:
		o.Result, o.Reason = ResultFailed, item.Reason
		return o
	case ctx.Err() != nil:
		err = errors.New("interrupted before its turn; run the command again")
	case item.Action == ActionUndo:
		err = r.undo(ctx, item, o)
	case item.Action == ActionFinish:
		err = r.finishLive(ctx, item, o)
	case item.Action == ActionMerge, item.Action == ActionReplace:
		err = r.change(ctx, item, o)
	default:
		err = r.createInTurn(ctx, plan, item, done)
		if err == nil && item.Action != ActionCreate {
			return r.runItem(ctx, plan, item, done) // as was found out only now
		}
		if err == nil {
			err = r.createGone(ctx, plan.Operation, item, o)
		}
		if err == nil && isDefinition(item.Resource) {
			err = r.waitEstablished(ctx, item.Name)
		}
	}
	if item.snap != nil {
		o.Snapshot = item.snap.ID
	}
	if err != nil {
		o.Result, o.Reason, o.Err = ResultFailed, err.Error(), err
	}
	return o
}

// createGone creates an object that is gone from its snapshot.
func (r *Recovery) createGone(ctx context.Context, operation string, item *Item, o *Outcome) error {
	if old := item.snap.Journal; old.Open() {
		operation = old.Operation // it is finished, not begun
	}
	ready, err := r.prepare(ctx, item, item.snap.Object, noOwner)
	if err != nil {
		return err
	}
	if err := r.journal(ctx, item, operation, snapshot.PhaseStarted, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), gapLimit)
	defer cancel()
	created, err := r.createAgain(ctx, item, ready.object)
	if errors.Is(err, errTaken) && r.madeByOwner(ctx, item, ready.object) {
		o.Result, o.Reason = ResultSkipped, "whoever it belongs to has made it already"
		return r.abandon(ctx, item)
	}
	if err != nil {
		return r.notCreated(ctx, item, err)
	}
	return r.finish(ctx, item, &remade{created: created, prepared: ready, fresh: true}, o)
}

// notCreated explains why an object could not be created.
func (r *Recovery) notCreated(ctx context.Context, item *Item, err error) error {
	if errors.Is(err, errTaken) {
		// Nothing is left to be finished: the name is somebody else's now.
		return errors.Join(err, r.abandon(ctx, item))
	}
	return fmt.Errorf("create it again: %w; it is saved as %s: mend that and run the command again, or 'holdfast recovery restore %s'", err, item.snap.ID, item.snap.ID)
}

// finishLive completes what an interrupted run has created.
func (r *Recovery) finishLive(ctx context.Context, item *Item, o *Outcome) error {
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get it: %w", err)
	}
	if terminating(live) || !madeFrom(live, &item.snap.Record) {
		return errors.New("it changed since the plan was made; run the command again")
	}
	ready, err := r.prepare(ctx, item, item.snap.Object, noOwner)
	if err != nil {
		return err
	}
	return r.finish(ctx, item, &remade{created: live, prepared: ready}, o)
}

// remade is an object that was created again.
type remade struct {
	*prepared
	created *unstructured.Unstructured
	// fresh says that created is the answer to its creation, which nobody else
	// can have changed.
	fresh bool
}

// finish replays the status of a remade object, compares it with what was
// saved, and closes the journal.
func (r *Recovery) finish(ctx context.Context, item *Item, made *remade, o *Outcome) error {
	o.NewUID = made.created.GetUID()
	o.Warnings = append(o.Warnings, made.changes...)
	verdict := compare(made.object, made.created, made.status != nil)
	if made.status != nil && !wrote(made.created, "status") {
		replayed, err := r.replayStatus(ctx, item, made)
		if err != nil {
			err = fmt.Errorf("it is there again, but its status is not: %w; run the command again", err)
			return errors.Join(err, r.journal(ctx, item, "", snapshot.PhaseCreated, o.NewUID))
		}
		verdict.add(compareStatus(made.status, replayed))
	}
	if err := r.stillThere(ctx, item, o.NewUID); err != nil {
		return err
	}
	err := r.journal(ctx, item, "", snapshot.PhaseDone, o.NewUID)
	if err = errors.Join(err, r.clearStale(ctx, item)); err != nil {
		return fmt.Errorf("it is there again, but not marked as brought back: %w; run the command again", err)
	}
	o.Warnings = append(o.Warnings, verdict.notes...)
	if len(verdict.lost) == 0 {
		return nil
	}
	if !made.fresh {
		// Between the two runs, others may have changed it with good reason.
		o.Warnings = append(o.Warnings, "it differs from what was saved: "+verdict.String())
		return nil
	}
	return fmt.Errorf("it is there again, but the API server did not keep all of it: %s; compare it with 'holdfast recovery show %s'", verdict.String(), item.snap.ID)
}

// stillThere makes sure that nobody, the garbage collector say, took the object away at once.
func (r *Recovery) stillThere(ctx context.Context, item *Item, uid types.UID) error {
	live, err := r.client(item.target).Get(ctx, item.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("it was created as %s, but cannot be read back: %w", uid, err)
	}
	if live.GetUID() != uid {
		return fmt.Errorf("it was created as %s, and somebody replaced it at once", uid)
	}
	if terminating(live) {
		return fmt.Errorf("it was created as %s, and somebody deleted it at once", uid)
	}
	return nil
}

// journal records how far the work on item has come; an empty operation keeps
// the one of the journal.
func (r *Recovery) journal(ctx context.Context, item *Item, operation string, phase snapshot.Phase, uid types.UID) error {
	if item.moved() {
		return nil // the object that was saved is not there again by that
	}
	j := snapshot.Journal{Operation: operation, Phase: phase, NewUID: uid, User: r.User, At: r.Now().UTC()}
	if operation == "" && item.snap.Journal != nil {
		j.Operation = item.snap.Journal.Operation
	}
	if err := r.Snapshots.SetJournal(ctx, item.snap.ID, j); err != nil {
		return err
	}
	item.snap.Journal = &j
	return nil
}

// noOwner says that no further owner is going to appear.
func noOwner(metav1.OwnerReference) bool { return false }
