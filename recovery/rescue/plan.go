// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/journal"
)

// wardKey is where the journal remembers the patients.
const wardKey = "ward"

// Plan is what a rescue is going to do.
type Plan struct {
	*recovery.Plan
	// Unfinished is the journal of an interrupted rescue that it finishes.
	Unfinished *journal.State

	ward *ward
	// stale is an interrupted rescue that nothing is left of to finish.
	stale bool
}

// Names are the names of all Astartes that it rescues, to be typed in.
func (p *Plan) Names() []string {
	var names []string
	for _, item := range p.Items {
		names = append(names, item.Name)
	}
	return names
}

// Dependents counts the objects that belong to the Astarte or Astartes.
func (p *Plan) Dependents() int {
	n := 0
	for _, patient := range p.ward.Patients {
		n += len(patient.Dependents)
	}
	return n
}

// interrupted is what an earlier run has not finished, nil if there is nothing.
func (r *Rescue) interrupted(ctx context.Context) (*journal.State, *ward, error) {
	state, err := r.Journals.Peek(ctx, Operation, Astartes().String())
	if err != nil || state == nil || state.Data[wardKey] == nil {
		return nil, nil, err
	}
	w := &ward{}
	if err := json.Unmarshal(state.Data[wardKey], w); err != nil {
		return nil, nil, fmt.Errorf("read the journal of the interrupted rescue: %w", err)
	}
	return state, w, nil
}

// Plan plans the rescue of the named Astartes, and of all that are Terminating
// with the same definition. Nothing is changed.
func (r *Rescue) Plan(ctx context.Context, names []types.NamespacedName) (*Plan, error) {
	state, w, err := r.interrupted(ctx)
	if err != nil {
		return nil, err
	}
	stale := false
	if w != nil {
		if stale, err = r.stale(ctx, state, w); err != nil {
			return nil, err
		}
	}
	if stale {
		state, w = nil, nil
	}
	if w != nil {
		for _, name := range names {
			if w.named(name.Namespace, name.Name) == nil {
				return nil, fmt.Errorf("rescue %s: another rescue was interrupted; finish it first: %s", name, state.Command)
			}
		}
	} else if w, err = r.admit(ctx, names); err != nil {
		return nil, err
	}
	plan := &Plan{Plan: &recovery.Plan{Operation: Operation}, ward: w, Unfinished: state, stale: stale}
	steps, err := r.Operator.Steps(ctx, w.Release)
	if err != nil {
		return nil, fmt.Errorf("plan to bring the operator back: %w", err)
	}
	for _, p := range w.Patients {
		plan.Items = append(plan.Items, itemOf(w, p, steps))
	}
	return plan, nil
}

// stale says that of the interrupted rescue of w nothing is left to be done: it
// has let none of its Astartes go, and they are not there any more.
func (r *Rescue) stale(ctx context.Context, state *journal.State, w *ward) (bool, error) {
	for _, step := range state.Steps {
		if strings.HasPrefix(step.Name, "strip ") {
			return false, nil
		}
	}
	crd, err := r.definition(ctx)
	if err != nil || crd == nil {
		return crd == nil, err
	}
	for _, p := range w.Patients {
		obj, _, err := r.read(ctx, crd, types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return false, err
		case obj.GetUID() == p.UID:
			return false, nil
		}
	}
	return true, nil
}

// admit finds out all about those that are to be rescued.
func (r *Rescue) admit(ctx context.Context, names []types.NamespacedName) (*ward, error) {
	crd, err := r.definition(ctx)
	if err != nil {
		return nil, err
	}
	if crd == nil {
		return nil, fmt.Errorf("%w: not even its definition does; 'holdfast recovery list --sets' shows what was saved of it, and 'holdfast recovery restore' brings that back", ErrGone)
	}
	w := &ward{Definition: crd.UID, Going: crd.DeletionTimestamp != nil}
	w.Release, _ = release.Of(crd)
	if w.Going {
		// All of them go with the definition, and come back with it.
		others, err := r.all(ctx, crd)
		if err != nil {
			return nil, fmt.Errorf("find all Astartes that go with their definition: %w", err)
		}
		for _, other := range others {
			if !slices.Contains(names, other) {
				names = append(slices.Clone(names), other)
			}
		}
	}
	if w.Stuck, err = r.stuckDefinitions(ctx); err != nil {
		return nil, err
	}
	var well []string
	for _, name := range names {
		p, err := r.examine(ctx, crd, name)
		if errors.Is(err, ErrNotTerminating) {
			well = append(well, name.String())
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("astarte %s: %w", name, err)
		}
		w.Patients = append(w.Patients, p)
	}
	if len(w.Patients) == 0 {
		return nil, fmt.Errorf("astarte %s: %w", strings.Join(well, ", "), ErrNotTerminating)
	}
	for _, name := range well {
		r.warn("plan", "astarte "+name+" is not Terminating and is left alone")
	}
	return w, nil
}

// examine reads one Astarte and what belongs to it.
func (r *Rescue) examine(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, name types.NamespacedName) (*patient, error) {
	obj, _, err := r.read(ctx, crd, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w; 'holdfast recovery list --sets' shows what was saved of it, and 'holdfast recovery restore' brings that back", ErrGone)
	case err != nil:
		return nil, err
	case obj.GetDeletionTimestamp() == nil && crd.DeletionTimestamp == nil:
		return nil, ErrNotTerminating
	}
	// One that could not be marked yet, for want of the conversion, will be.
	p := &patient{Namespace: name.Namespace, Name: name.Name, UID: obj.GetUID(), Object: obj}
	mode, set, err := unstructured.NestedFieldNoCopy(obj.Object, "spec", maintenance)
	if err != nil {
		return nil, err
	}
	if set {
		if p.Mode, err = json.Marshal(mode); err != nil {
			return nil, err
		}
	}
	if p.Dependents, err = r.dependents(ctx, p); err != nil {
		return nil, err
	}
	p.Referrers, err = r.referrers(ctx, p)
	return p, err
}

func (r *Rescue) dependents(ctx context.Context, p *patient) ([]recovery.Dependent, error) {
	found, unread, err := r.Recovery.Dependents(ctx, p.Namespace, p.UID)
	if err != nil {
		return nil, fmt.Errorf("find what belongs to it: %w", err)
	}
	// Astarte's own kinds, unreadable without the conversion, do not belong to it by reference.
	unread = slices.DeleteFunc(unread, func(kind string) bool { return strings.HasSuffix(kind, "astarte-platform.org") })
	if len(unread) > 0 {
		r.warn("plan", fmt.Sprintf("%s cannot be listed; if any of them belong to %s, that is not known", strings.Join(unread, ", "), p))
	}
	return found, nil
}

// itemOf is how the plan shows a patient.
func itemOf(w *ward, p *patient, operator []string) *recovery.Item {
	item := &recovery.Item{Resource: Astartes().String(), Namespace: p.Namespace, Name: p.Name, Snapshot: p.Snapshot, Action: recovery.ActionRescue}
	item.Steps = []string{
		"save it and its Secrets as they are now",
		"freeze it (spec." + maintenance + ": true), so that no operator finalizes it",
		fmt.Sprintf("delete it once more with the policy Orphan, and wait until none of the %d objects that belong to it names it as its owner", len(p.Dependents)),
		"remove its finalizers (" + strings.Join(p.Object.GetFinalizers(), ", ") + "), with which it goes; this cannot be taken back",
	}
	for _, d := range w.Stuck {
		item.Steps = append(item.Steps, fmt.Sprintf("save all %s, make them readable without the operator, and wait until their definition is gone, which is stuck (%s)", d.Resource, d.Why))
	}
	if w.Going {
		item.Steps = append(item.Steps, "wait until its definition is gone")
	}
	item.Steps = append(item.Steps, operator...)
	item.Steps = append(item.Steps,
		"wait until the definition is established and the operator's webhooks answer, which a creation without effect proves",
		"create it again in maintenance mode and replay its status",
		"set spec."+maintenance+" back to "+p.mode(),
		fmt.Sprintf("check that each of the %d objects has the UID that it had", len(p.Dependents)))
	if len(p.Referrers) > 0 {
		item.Steps = append(item.Steps, fmt.Sprintf("create again what exposes it and runs in it, with its own keys first, from snapshots %s", strings.Join(p.Referrers, ", ")))
	}
	if slices.Contains(p.Object.GetFinalizers(), metav1.FinalizerDeleteDependents) {
		item.Warnings = append(item.Warnings, "it was deleted in the foreground: the garbage collector is deleting what belongs to it already")
	}
	if len(p.Dependents) == 0 {
		item.Warnings = append(item.Warnings, "nothing belongs to it; if its operator had made anything, that is gone already")
	}
	if w.Release.Name == "" {
		item.Warnings = append(item.Warnings, "its definition bears no mark of a Helm release, so the operator has to be brought back by hand")
	}
	return item
}

// mode is spec.manualMaintenanceMode as it was, in words.
func (p *patient) mode() string {
	if p.Mode == nil {
		return "not set"
	}
	return string(p.Mode)
}
