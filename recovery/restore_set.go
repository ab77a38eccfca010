// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/recovery/helmrelease"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// PlanRestoreSet plans to bring back a whole set: the Helm release in it, the
// definitions, what comes before its owner, the owners, and what refers to them.
func (r *Recovery) PlanRestoreSet(ctx context.Context, id string, options RestoreOptions) (*Plan, error) {
	set, err := r.Snapshots.Set(ctx, id)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Operation: OperationRestore, Set: &set.SetRecord, options: options}
	for _, reason := range set.Reasons {
		plan.note("not saved, and does not come back: %s", reason)
	}
	var snaps []*snapshot.Snapshot
	var records []*corev1.Secret
	for _, m := range set.Members {
		if m.Snapshot == "" {
			continue
		}
		snap, err := r.Snapshots.Get(ctx, m.Snapshot)
		if errors.Is(err, snapshot.ErrDamaged) || errors.Is(err, snapshot.ErrNotFound) {
			item := &Item{Resource: m.Resource, Namespace: m.Namespace, Name: m.Name, Snapshot: m.Snapshot}
			plan.Items = append(plan.Items, item.refuse("%v; leave it out with --except %s/%s, or use another set", err, m.Resource, m.Name))
			continue
		}
		if err != nil {
			return nil, err
		}
		if secret := recordOf(snap); secret != nil {
			records = append(records, secret)
			continue
		}
		snaps = append(snaps, snap)
	}
	if len(records) == 0 {
		r.noteByHand(ctx, plan)
	}
	r.planRelease(ctx, plan, records)
	return plan, r.planItems(ctx, plan, snaps)
}

// recordOf is the Secret of a snapshot in which Helm keeps a release; nil for any other.
func recordOf(snap *snapshot.Snapshot) *corev1.Secret {
	secret := &corev1.Secret{}
	if snap.Resource != "secrets" || !strings.HasPrefix(snap.Name, "sh.helm.release.v1.") ||
		runtime.DefaultUnstructuredConverter.FromUnstructured(snap.Object.Object, secret) != nil || secret.Type != release.SecretType {
		return nil
	}
	return secret
}

// planRelease plans for the Helm release whose records are among a set.
func (r *Recovery) planRelease(ctx context.Context, plan *Plan, records []*corev1.Secret) {
	if len(records) == 0 || r.Helm == nil || plan.options.ToNamespace != "" || !plan.options.selects(releaseResource(), "") {
		return
	}
	revision, ok := release.Read(records[0])
	if !ok {
		plan.note("the record of its operator's release cannot be read; install the operator by other means")
		return
	}
	var err error
	plan.Release, err = r.Helm.Plan(ctx, revision.Key, records)
	if err != nil {
		// What is there may be enough; if not, the objects are waited for and say so.
		plan.note("its operator's release %s cannot be brought back: %v; install the operator by other means if it is gone", revision.Key, err)
		plan.Release = nil
	}
}

// noteByHand says what somebody has to bring back besides a set that should have
// the release of its operator and has none, when the operator's definition is gone.
func (r *Recovery) noteByHand(ctx context.Context, plan *Plan) {
	g, ok := r.Profiles.Guarded(schema.ParseGroupResource(plan.Set.Resource))
	if !ok || plan.options.ToNamespace != "" || !plan.options.selects(releaseResource(), "") {
		return
	}
	for _, m := range g.Closure {
		if m.ReleaseOf == "" {
			continue
		}
		_, err := r.Client.Resource(definitionsResource()).Get(ctx, m.ReleaseOf, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return // it may well be there; if not, the objects are waited for and say so
		}
		plan.note("of its operator only the definitions come back, for no Helm release of it is in the set: apply its other manifests again (Deployment, ServiceAccount, roles, Service, webhook configurations; kubectl apply --server-side -f FILE), now or in another terminal while this waits for its webhooks, %s at most", patience)
		return
	}
}

// releaseResource is what a Helm release is called among resources.
func releaseResource() schema.GroupResource {
	return schema.GroupResource{Resource: v1alpha1.ReleaseResource}
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// comesWithRelease says that the release of the plan has the item's object.
func (p *Plan) comesWithRelease(item *Item) bool {
	return p.Release != nil && slices.ContainsFunc(p.Release.Objects, func(o *helmrelease.Object) bool {
		return o.Kind == item.snap.Kind && o.Name == item.Name && o.Namespace == item.Namespace && isDefinition(item.Resource)
	})
}

// defines says that the plan brings the definition of resource back.
func (p *Plan) defines(resource string) bool {
	if slices.ContainsFunc(p.Items, func(i *Item) bool { return isDefinition(i.Resource) && i.Name == resource && i.Action != ActionRefuse }) {
		return true
	}
	return p.Release != nil && slices.ContainsFunc(p.Release.Objects, func(o *helmrelease.Object) bool {
		return o.Kind == "CustomResourceDefinition" && o.Name == resource
	})
}

// moves says that the plan brings an object of that name, saved in namespace,
// back in another.
func (p *Plan) moves(namespace, name string) bool {
	return slices.ContainsFunc(p.Items, func(i *Item) bool { return i.moved() && i.snap.Namespace == namespace && i.Name == name })
}

// Refusals are the items that cannot be brought back as things are.
func (p *Plan) Refusals() []*Item {
	var refused []*Item
	for _, item := range p.Items {
		if item.Action == ActionRefuse {
			refused = append(refused, item)
		}
	}
	return refused
}
