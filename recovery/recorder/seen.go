// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// guardedSink is told of the objects of one guarded resource.
type guardedSink struct {
	r       *Recorder
	guarded *profile.Guarded
}

// own says that object is Holdfast's own, which is never guarded: where Secrets
// are, each snapshot would make another one, of itself.
func (s *guardedSink) own(object metav1.Object) bool {
	return object.GetNamespace() == s.r.Store.Namespace()
}

func (s *guardedSink) one(object metav1.Object) {
	if o, ok := object.(*unstructured.Unstructured); ok && !s.own(o) {
		s.r.seen(s.guarded, o)
	}
}

func (s *guardedSink) gone(object metav1.Object) {
	if o, ok := object.(*unstructured.Unstructured); ok && !s.own(o) {
		s.r.changed(s.guarded.Resource, o, true)
		s.r.hasEnded(o.GetUID(), ended{s.guarded, profile.Name{Resource: s.guarded.Resource, Namespace: o.GetNamespace(), Name: o.GetName()}, o})
	}
}

// all is told of everything that is there, so that what is not there has gone:
// what was seen before, and what was stored by whoever recorded before this one.
func (s *guardedSink) all(objects []metav1.Object) {
	live := map[types.UID]bool{}
	for _, o := range objects {
		live[o.GetUID()] = true
		s.one(o)
	}
	s.r.mu.Lock()
	var missing []ended
	uids := []types.UID{}
	for uid, root := range s.r.roots {
		if root.Resource == s.guarded.Resource && !live[uid] {
			missing, uids = append(missing, ended{guarded: s.guarded, name: root.Name}), append(uids, uid)
		}
	}
	s.r.synced[s.guarded.Resource] = true
	s.r.mu.Unlock()
	for _, record := range s.r.book.objects(s.guarded.Resource) {
		if !live[record.UID] && record.State != snapshot.StateDeleted && record.State != snapshot.StateRestored {
			missing = append(missing, ended{guarded: s.guarded, name: profile.Name{Resource: s.guarded.Resource, Namespace: record.Namespace, Name: record.Name}})
			uids = append(uids, record.UID)
		}
	}
	for i, one := range missing {
		s.r.hasEnded(uids[i], one)
	}
}

// seen takes note of a guarded object as it is now.
func (r *Recorder) seen(guarded *profile.Guarded, o *unstructured.Unstructured) {
	name := profile.Name{Resource: guarded.Resource, Namespace: o.GetNamespace(), Name: o.GetName()}
	r.mu.Lock()
	one := r.roots[o.GetUID()]
	if one == nil {
		one = &root{Name: name, guarded: guarded, uid: o.GetUID()}
		r.roots[o.GetUID()] = one
	}
	r.named[name] = o.GetUID()
	if one.version == o.GetResourceVersion() {
		r.mu.Unlock()
		return
	}
	one.see(o)
	if len(guarded.Closure) > 0 {
		one.dirty(r.Now())
	}
	r.mu.Unlock()
	r.versions.Add(o.GetUID())
	r.changed(guarded.Resource, o, false)
}

// changed finds the roots whose sets a change of object concerns.
func (r *Recorder) changed(gr schema.GroupResource, object metav1.Object, gone bool) {
	name := profile.Name{Resource: gr, Namespace: object.GetNamespace(), Name: object.GetName()}
	var targets []profile.Name
	if o, ok := object.(*unstructured.Unstructured); ok {
		targets = r.refersTo(gr, o)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.roots {
		if gone && one.has(name) || !gone && one.concerns(name, object) {
			r.retake(one, settle)
		}
	}
	for _, target := range targets {
		if one := r.roots[r.named[target]]; one != nil && one.members[name].version != object.GetResourceVersion() {
			r.retake(one, settle)
		}
	}
}

// refersTo are the guarded objects to whose sets o belongs because it names them.
func (r *Recorder) refersTo(gr schema.GroupResource, o *unstructured.Unstructured) []profile.Name {
	var targets []profile.Name
	for _, g := range r.Profiles.Resources() {
		for _, m := range g.Closure {
			if m.Referring == nil || m.Resource != gr {
				continue
			}
			hits, err := m.Hits(o)
			if err != nil {
				continue // taking the set tells of it
			}
			for _, h := range hits {
				targets = append(targets, profile.Name{Resource: g.Resource, Namespace: h.Namespace, Name: h.Name}, profile.Name{Resource: g.Resource, Name: h.Name})
			}
		}
	}
	return targets
}

// renamed is told that objects of a resource got or lost a referrer.
func (r *Recorder) renamed(of schema.GroupResource, hits []profile.Hit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range hits {
		for _, namespace := range []string{h.Namespace, ""} {
			if one := r.roots[r.named[profile.Name{Resource: of, Namespace: namespace, Name: h.Name}]]; one != nil {
				r.retake(one, settleNames)
			}
		}
	}
}

// retake has the set of a root taken once more; the caller holds the lock.
func (r *Recorder) retake(one *root, after time.Duration) {
	if len(one.guarded.Closure) == 0 {
		return
	}
	one.dirty(r.Now())
	r.sets.AddAfter(one.uid, after)
}

// saveVersions saves the versions of an object that were seen, and has its set taken.
func (r *Recorder) saveVersions(ctx context.Context, uid types.UID) error {
	for {
		r.mu.Lock()
		one := r.roots[uid]
		if one == nil || len(one.pending) == 0 {
			if one != nil && !one.dirtySince.IsZero() {
				r.sets.AddAfter(uid, settle)
			}
			r.mu.Unlock()
			return nil
		}
		version, last, isLast := one.pending[0], one.last, len(one.pending) == 1
		guarded := one.guarded
		r.mu.Unlock()
		id, err := r.saveVersion(ctx, guarded, version, last, isLast)
		if err != nil && !errors.Is(err, snapshot.ErrTooLarge) {
			logf.FromContext(ctx).Error(err, "A guarded object could not be recorded; it is tried again", "resource", guarded.Resource.String(), "namespace", version.GetNamespace(), "name", version.GetName())
			return err
		}
		r.mu.Lock()
		if len(one.pending) > 0 && one.pending[0] == version {
			one.pending = one.pending[1:]
		}
		if id != "" {
			one.last = id
		}
		r.mu.Unlock()
	}
}

// saveVersion keeps one version. What was the latest version before and is it
// again, after another, is noted, so that it is found first; not of what is
// being deleted, though: what is noted there is who asked for it.
func (r *Recorder) saveVersion(ctx context.Context, guarded *profile.Guarded, o *unstructured.Unstructured, last string, isLast bool) (string, error) {
	p := r.provenance(guarded)
	id, err := r.Store.ID(ctx, o)
	if err != nil {
		return "", fmt.Errorf("name snapshot: %w", err)
	}
	known := r.Store.Knows(id)
	if last == "" {
		newest, _ := r.book.newest(o.GetUID())
		last = newest.ID
	}
	keep := r.Store.Keep
	if known && isLast && last != "" && last != id && o.GetDeletionTimestamp() == nil {
		keep = r.Store.Save
	}
	record, err := keep(ctx, guarded.Resource, o, p)
	r.Metrics.saved(err)
	if err != nil {
		return "", err
	}
	r.Sets.versions.Store(o.GetUID(), seenVersion{o.GetResourceVersion(), record.ID})
	return record.ID, nil
}

func (r *Recorder) provenance(guarded *profile.Guarded) snapshot.Provenance {
	return r.Sets.defined(guarded.Resource, snapshot.Provenance{
		Operation: operationRecord, Profile: guarded.Profile,
		RestoreStatus: guarded.Restore.Status, RestoreOrder: guarded.Restore.Order,
	})
}

// takeSet takes the set of a root as things are now.
func (r *Recorder) takeSet(ctx context.Context, uid types.UID) error {
	r.mu.Lock()
	one := r.roots[uid]
	if one == nil || one.dirtySince.IsZero() {
		r.mu.Unlock()
		return nil
	}
	guarded, name, since := one.guarded, one.Name, one.dirtySince
	one.dirtySince = time.Time{} // what changes from now on makes it dirty anew
	r.mu.Unlock()
	log := logf.FromContext(ctx).WithValues("resource", guarded.Resource.String(), "namespace", name.Namespace, "name", name.Name)
	taken, err := r.takeNow(ctx, guarded, name, uid)
	r.Metrics.tookSet(err)
	r.mu.Lock()
	if err != nil {
		one.dirtySince = since
		r.mu.Unlock()
		log.Error(err, "The set of a guarded object could not be taken; it is tried again")
		return err
	}
	if taken == nil {
		r.mu.Unlock()
		return nil // it has gone, which is told elsewhere
	}
	one.took(*taken)
	places := one.places
	r.mu.Unlock()
	log.V(1).Info("Set taken", "set", taken.Set.ID, "complete", taken.Set.Complete)
	r.followMembers(ctx, places)
	return nil
}

func (r *Recorder) takeNow(ctx context.Context, guarded *profile.Guarded, name profile.Name, uid types.UID) (*Taken, error) {
	object, err := r.From.Object(ctx, name)
	if err != nil || object == nil || object.GetUID() != uid {
		return nil, err
	}
	taken, err := r.Sets.Take(ctx, guarded, object, r.provenance(guarded))
	return &taken, err
}
