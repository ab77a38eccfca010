// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/recovery/journal"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// stuck is another definition of Astarte's that is Terminating and not gone: its
// instances could not be deleted without the operator's conversion webhook. The
// operator's release cannot come back before it goes.
type stuck struct {
	Resource string    `json:"resource"`
	UID      types.UID `json:"uid"`
	// Why is what the API server says of it.
	Why string `json:"why,omitempty"`
	// Snapshots are its instances, which go with it and are created again.
	Snapshots []string `json:"snapshots,omitempty"`
}

// stuckDefinitions are those of the kinds that name Astartes. One whose
// instances somebody's finalizers hold is refused, with the way.
func (r *Rescue) stuckDefinitions(ctx context.Context) ([]*stuck, error) {
	var all []*stuck
	for _, gr := range referring() {
		crd, err := r.definitionOf(ctx, gr)
		if err != nil {
			return nil, err
		}
		if crd == nil || crd.DeletionTimestamp == nil {
			continue
		}
		instances, _, err := r.instances(ctx, crd)
		if err != nil {
			return nil, err
		}
		for _, obj := range instances {
			if len(obj.GetFinalizers()) > 0 {
				return nil, heldBack(gr, obj)
			}
		}
		all = append(all, &stuck{Resource: gr.String(), UID: crd.UID, Why: whyTerminating(crd)})
	}
	return all, nil
}

// heldBack is the refusal because of an instance that its finalizers hold: what
// set them may have something to clean up.
func heldBack(gr schema.GroupResource, obj *unstructured.Unstructured) error {
	name := fmt.Sprintf("%s %s -n %s", gr, obj.GetName(), obj.GetNamespace())
	return fmt.Errorf("the definition of %s is Terminating and cannot go, nor the operator come back, while the finalizers of %s/%s hold it (%s); if what set them has nothing to clean up, save it and remove them, then run the command again: holdfast recovery snapshot %s && kubectl patch %s --type=merge -p '{\"metadata\":{\"finalizers\":null}}'",
		gr, obj.GetNamespace(), obj.GetName(), strings.Join(obj.GetFinalizers(), ", "), name, name)
}

// instances are all objects of a definition, each read anew: a list may come
// from what the API server remembers. broken says why some cannot be read in
// every version.
func (r *Rescue) instances(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) (all []*unstructured.Unstructured, broken error, err error) {
	names, err := r.all(ctx, crd)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, nil // it has gone meanwhile, and they with it
	case err != nil:
		return nil, nil, fmt.Errorf("list %s, whose definition is Terminating: %w", crd.Name, err)
	}
	for _, name := range names {
		obj, unread, err := r.read(ctx, crd, name)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("read %s %s: %w", crd.Name, name, err)
		}
		all, broken = append(all, obj), cmp.Or(broken, unread)
	}
	return all, broken, nil
}

// saveStuck saves what goes with the other definitions, and is then the latest
// that is known of what names the Astartes.
func (r *Rescue) saveStuck(ctx context.Context, w *ward) error {
	for _, d := range w.Stuck {
		if err := r.saveInstances(ctx, d); err != nil {
			return err
		}
	}
	if len(w.Stuck) == 0 {
		return nil
	}
	for _, p := range w.Patients {
		var err error
		if p.Referrers, err = r.referrers(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// saveInstances saves what goes with d.
func (r *Rescue) saveInstances(ctx context.Context, d *stuck) error {
	crd, err := r.still(ctx, d)
	if err != nil || crd == nil {
		return err
	}
	instances, _, err := r.instances(ctx, crd)
	if err != nil {
		return err
	}
	gr := schema.ParseGroupResource(d.Resource)
	d.Snapshots = nil
	for _, obj := range instances {
		provenance := snapshot.Provenance{Operation: Operation, User: r.Recovery.User, State: snapshot.StateAttempted}
		if g, ok := r.Recovery.Profiles.Guarded(gr); ok {
			provenance.Profile, provenance.RestoreStatus, provenance.RestoreOrder = g.Profile, g.Restore.Status, g.Restore.Order
		}
		record, err := r.Recovery.Snapshots.Save(ctx, gr, obj, provenance)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%s %s/%s goes with its definition, and cannot be saved without Holdfast's namespace: kubectl create namespace %s, then run the command again", gr, obj.GetNamespace(), obj.GetName(), r.Journals.Namespace)
		}
		if err != nil {
			return fmt.Errorf("save %s %s/%s: %w", gr, obj.GetNamespace(), obj.GetName(), err)
		}
		d.Snapshots = append(d.Snapshots, record.ID)
	}
	return nil
}

// letDefinitionGo sees to it that d goes: without a conversion, the API server
// can delete its instances.
func (r *Rescue) letDefinitionGo(ctx context.Context, j *journal.Journal, d *stuck) error {
	return r.wait(ctx, pending{
		step: "definition", what: "the definition of " + d.Resource + " to be gone", limit: waitLimit,
		ready: func(ctx context.Context) (bool, string, error) {
			crd, err := r.still(ctx, d)
			if err != nil || crd == nil {
				return err == nil, "", err
			}
			if c := crd.Spec.Conversion; c != nil && c.Strategy == apiextensionsv1.WebhookConverter {
				if _, broken, unread := r.instances(ctx, crd); broken != nil || unread != nil {
					err = r.switchConversionOff(ctx, j, crd)
				}
			}
			return false, whyTerminating(crd), ignoreGone(err)
		},
	})
}

// still is the definition d while it is there, nil once it is gone.
func (r *Rescue) still(ctx context.Context, d *stuck) (*apiextensionsv1.CustomResourceDefinition, error) {
	crd, err := r.definitionOf(ctx, schema.ParseGroupResource(d.Resource))
	if err != nil || crd == nil || crd.UID != d.UID {
		return nil, err
	}
	return crd, nil
}

// whyTerminating is what the API server says of a definition that is going.
func whyTerminating(crd *apiextensionsv1.CustomResourceDefinition) string {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Terminating && c.Status == apiextensionsv1.ConditionTrue {
			return c.Reason + ": " + c.Message
		}
	}
	return "it is Terminating"
}

// goesAlong are the IDs of all that is created after the Astartes, each object once.
func (w *ward) goesAlong() []string {
	var ids []string
	for _, p := range w.Patients {
		ids = append(ids, p.Referrers...)
	}
	for _, d := range w.Stuck {
		ids = append(ids, d.Snapshots...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(ids, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}
