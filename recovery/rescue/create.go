// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// again is p as it is created: in maintenance mode, and its status apart.
func (p *patient) again() (obj *unstructured.Unstructured, status any) {
	obj, status = recovery.Clean(p.Object)
	// What owned it is not known to be there; an Astarte has no owner but by hand.
	unstructured.RemoveNestedField(obj.Object, "metadata", "ownerReferences")
	spec, _ := obj.Object["spec"].(map[string]any)
	if spec == nil {
		spec = map[string]any{}
	}
	spec[maintenance] = true
	obj.Object["spec"] = spec
	return obj, status
}

// create creates p again, in maintenance mode: without its status the operator
// would take it for an old one, and make its StatefulSets anew.
func (r *Rescue) create(ctx context.Context, p *patient) error {
	obj, _ := p.again()
	return r.wait(ctx, pending{
		step: "create", what: "astarte " + p.String() + " to be created", limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			_, err := r.client(p).Create(ctx, obj, metav1.CreateOptions{FieldManager: fieldManager})
			switch {
			case err == nil:
				return true, "", nil
			case apierrors.IsAlreadyExists(err):
				_, err = r.remade(ctx, p)
				return err == nil, "", err
			case apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err):
				return false, err.Error(), nil
			}
			return false, "", err
		},
	})
}

// remade is what this rescue, or an earlier run of it, has created for p.
func (r *Rescue) remade(ctx context.Context, p *patient) (*unstructured.Unstructured, error) {
	live, err := r.client(p).Get(ctx, p.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return nil, err
	case live.GetUID() == p.UID, live.GetDeletionTimestamp() != nil:
		return nil, fmt.Errorf("an Astarte of its name is there and Terminating (UID %s); wait until it is gone, and run the command again", live.GetUID())
	case !slices.ContainsFunc(live.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == fieldManager && f.Subresource == ""
	}):
		return nil, fmt.Errorf("somebody else has created an Astarte of its name meanwhile (UID %s, at %s), perhaps with new keys; it is not touched. Compare it with 'holdfast recovery show %s'; if it is to give way, delete it with its operator running, and run the command again",
			live.GetUID(), live.GetCreationTimestamp().UTC().Format("2006-01-02T15:04:05Z"), p.Snapshot)
	}
	return live, nil
}

// replayStatus gives the remade Astarte the status that it had.
func (r *Rescue) replayStatus(ctx context.Context, p *patient) error {
	_, status := p.again()
	if status == nil {
		return nil
	}
	return r.wait(ctx, pending{
		step: "status", what: "the status of " + p.String() + " to be replayed", limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			live, err := r.remade(ctx, p)
			if err != nil {
				return false, "", err
			}
			live.Object["status"] = status
			_, err = r.client(p).UpdateStatus(ctx, live, metav1.UpdateOptions{FieldManager: fieldManager})
			switch {
			case err == nil:
				return true, "", nil
			case apierrors.IsConflict(err), apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err):
				return false, err.Error(), nil
			}
			return false, "", err
		},
	})
}

// thaw sets the maintenance mode back to what it was.
func (r *Rescue) thaw(ctx context.Context, p *patient) error {
	var mode any
	if p.Mode != nil {
		mode = p.Mode
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{maintenance: mode}})
	if err != nil {
		return err
	}
	return r.wait(ctx, pending{
		step: "thaw", what: "the maintenance mode of " + p.String() + " to be set back", limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			if _, err := r.remade(ctx, p); err != nil {
				return false, "", err
			}
			_, err := r.client(p).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
			if apierrors.IsConflict(err) || apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) {
				return false, err.Error(), nil
			}
			return err == nil, "", err
		},
	})
}

// verify compares what belonged to p with what is there.
func (r *Rescue) verify(ctx context.Context, p *patient) error {
	var lost []string
	for _, d := range p.Dependents {
		live, err := r.Recovery.Metadata.Resource(d.Resource).Namespace(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			lost = append(lost, d.String()+" is gone")
		case err != nil:
			return fmt.Errorf("look at %s: %w", d, err)
		case live.UID != d.UID:
			lost = append(lost, d.String()+" is another one")
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("astarte %s is back, but of what belonged to it: %s; its Secrets were saved: holdfast recovery list secrets -n %s", p, strings.Join(lost, ", "), p.Namespace)
	}
	r.say("verify", fmt.Sprintf("astarte %s is back; all %d objects that belonged to it are the same", p, len(p.Dependents)))
	if p.Snapshot == "" {
		return nil
	}
	live, err := r.remade(ctx, p)
	if err != nil {
		return err
	}
	return r.Recovery.Snapshots.SetJournal(ctx, p.Snapshot, snapshot.Journal{Operation: recovery.OperationUndo, Phase: snapshot.PhaseDone, NewUID: live.GetUID(), User: r.Recovery.User})
}

// saveLast saves live as it is right before it goes.
func (r *Rescue) saveLast(ctx context.Context, live *unstructured.Unstructured) error {
	p := snapshot.Provenance{Operation: recovery.OperationUndo, User: r.Recovery.User}
	if g, ok := r.Recovery.Profiles.Guarded(Astartes()); ok {
		p.Profile, p.RestoreStatus, p.RestoreOrder = g.Profile, g.Restore.Status, g.Restore.Order
	}
	_, err := r.Recovery.Snapshots.Save(ctx, Astartes(), live, p)
	return err
}
