// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// lately is how long before the Astarte somebody may have deleted what refers
// to it for it to have been part of the same mistake.
const lately = 10 * time.Minute

// referring are the kinds that name an Astarte in spec.astarte, in the order in
// which they are created. Their objects go with their definitions at once, for
// they have no finalizers.
func referring() []schema.GroupResource {
	return []schema.GroupResource{
		{Group: "ingress.astarte-platform.org", Resource: "astartedefaultingresses"},
		{Group: "api.astarte-platform.org", Resource: "astartevoyageringresses"},
		{Group: "api.astarte-platform.org", Resource: "flows"},
		{Group: "flow.astarte-platform.org", Resource: "flows"},
	}
}

// referrers are the latest snapshots of what names p and went with it, and of
// the keys that belonged to that. What is still there is found so, and left
// alone, when it would be created.
func (r *Rescue) referrers(ctx context.Context, p *patient) ([]string, error) {
	before := r.Recovery.Now().Add(-lately)
	if marked := p.Object.GetDeletionTimestamp(); marked != nil {
		before = marked.Add(-lately)
	}
	var found []*snapshot.Snapshot
	for _, gr := range referring() {
		records, err := r.Recovery.Snapshots.List(ctx, snapshot.Filter{Resource: gr, Namespace: p.Namespace})
		if err != nil {
			return nil, fmt.Errorf("find what names it: %w", err)
		}
		seen := map[string]bool{}
		for _, record := range records { // newest first
			if record.Problem != "" || seen[record.Name] {
				continue
			}
			seen[record.Name] = true
			if record.State == snapshot.StateDeleted && record.StateAt.Before(before) {
				continue // it went before, and apart from this
			}
			snap, err := r.Recovery.Snapshots.Get(ctx, record.ID)
			if err != nil {
				return nil, fmt.Errorf("read snapshot %s of %s %s: %w", record.ID, gr, record.Name, err)
			}
			// A finalizer may have held it when its definition went.
			marked := snap.Object.GetDeletionTimestamp()
			if astarteOf(snap.Object) == p.Name && (marked == nil || !marked.Time.Before(before)) {
				found = append(found, snap)
			}
		}
	}
	ids, err := r.keys(ctx, p, found)
	for _, snap := range found {
		ids = append(ids, snap.ID)
	}
	return ids, err
}

// astarteOf is the name of the Astarte that obj names.
func astarteOf(obj *unstructured.Unstructured) string {
	value, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "spec", "astarte")
	switch v := value.(type) {
	case string:
		return v
	case map[string]any:
		name, _ := v["name"].(string)
		return name
	default:
		return ""
	}
}

// save makes sure that whatever happens, nothing of p that cannot be made again
// is lost: its own content, and its Secrets.
func (r *Rescue) save(ctx context.Context, p *patient) error {
	objects := []*unstructured.Unstructured{p.Object}
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	for _, d := range p.Dependents {
		if d.Resource != secrets {
			continue
		}
		secret, err := r.Recovery.Client.Resource(secrets).Namespace(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			r.warn("save", fmt.Sprintf("%s has gone since the plan was made", d))
			continue
		}
		if err != nil {
			return fmt.Errorf("save %s: %w", d, err)
		}
		objects = append(objects, secret)
	}
	for i, obj := range objects {
		gr := secrets.GroupResource()
		if i == 0 {
			gr = Astartes()
		}
		provenance := snapshot.Provenance{Operation: Operation, User: r.Recovery.User, RestoreStatus: i == 0, State: snapshot.StateAttempted}
		if g, ok := r.Recovery.Profiles.Guarded(gr); ok {
			provenance.Profile, provenance.RestoreStatus, provenance.RestoreOrder = g.Profile, g.Restore.Status, g.Restore.Order
		}
		record, err := r.Recovery.Snapshots.Save(ctx, gr, obj, provenance)
		if apierrors.IsNotFound(err) {
			// Holdfast's namespace is gone; the journal is all there is.
			p.Secrets = slices.Clone(objects[1:])
			r.warn("save", fmt.Sprintf("namespace %s does not exist: %s and its Secrets are kept in %s alone", r.Journals.Namespace, p, r.Journals.Dir))
			return nil
		}
		if err != nil {
			return fmt.Errorf("save %s: %w", obj.GetName(), err)
		}
		if i == 0 {
			p.Snapshot = record.ID
		}
	}
	return nil
}
