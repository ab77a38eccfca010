// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// keys are the latest snapshots of what belonged to those referrers of p that
// are gone and, by the profiles, comes back before its owner: it went with them,
// and their operator would make another. What nobody has saved, or cannot be
// read any more, the operator has to make.
func (r *Rescue) keys(ctx context.Context, p *patient, referrers []*snapshot.Snapshot) ([]string, error) {
	referrers = slices.DeleteFunc(slices.Clone(referrers), func(s *snapshot.Snapshot) bool { return r.alive(ctx, s) })
	var ids []string
	for _, gr := range r.before(referrers) {
		records, err := r.Recovery.Snapshots.List(ctx, snapshot.Filter{Resource: gr, Namespace: p.Namespace})
		if err != nil {
			return nil, fmt.Errorf("find what belongs to what names it: %w", err)
		}
		seen := map[string]bool{}
		for _, record := range records { // newest first
			if record.Problem != "" || seen[record.Name] || p.has(gr, record.Name) {
				continue
			}
			seen[record.Name] = true
			snap, err := r.Recovery.Snapshots.Get(ctx, record.ID)
			switch {
			case errors.Is(err, snapshot.ErrDamaged):
				r.warn("plan", fmt.Sprintf("whether %s %s/%s is to come back is not known: %v", gr, p.Namespace, record.Name, err))
			case err != nil:
				return nil, fmt.Errorf("read snapshot %s of %s %s: %w", record.ID, gr, record.Name, err)
			case slices.ContainsFunc(referrers, func(owner *snapshot.Snapshot) bool { return belongs(snap, owner) }):
				ids = append(ids, snap.ID)
			}
		}
	}
	return ids, nil
}

// before are the kinds of what comes back before one of its owners.
func (r *Rescue) before(owners []*snapshot.Snapshot) []schema.GroupResource {
	var kinds []schema.GroupResource
	for _, owner := range owners {
		g, ok := r.Recovery.Profiles.Guarded(owner.GroupResource())
		if !ok {
			continue
		}
		for _, gr := range g.BeforeOwner() {
			if !slices.Contains(kinds, gr) {
				kinds = append(kinds, gr)
			}
		}
	}
	return kinds
}

// alive says that the very object of snap is there, and is to stay.
func (r *Rescue) alive(ctx context.Context, snap *snapshot.Snapshot) bool {
	crd, err := r.definitionOf(ctx, snap.GroupResource())
	if err != nil || crd == nil || crd.DeletionTimestamp != nil {
		return false
	}
	gvr := snap.GroupResource().WithVersion(snap.Object.GroupVersionKind().Version)
	live, err := r.Recovery.Client.Resource(gvr).Namespace(snap.Namespace).Get(ctx, snap.Name, metav1.GetOptions{})
	return err == nil && live.GetUID() == snap.UID && live.GetDeletionTimestamp() == nil
}

func belongs(snap, owner *snapshot.Snapshot) bool {
	return slices.ContainsFunc(snap.Object.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner.UID })
}

// has says that p's own dependents, which stay, include that object.
func (p *patient) has(gr schema.GroupResource, name string) bool {
	return slices.ContainsFunc(p.Dependents, func(d recovery.Dependent) bool {
		return d.Resource.GroupResource() == gr && d.Namespace == p.Namespace && d.Name == name
	})
}
