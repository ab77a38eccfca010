// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// followMembers follows the places of members that are not followed yet.
func (r *Recorder) followMembers(ctx context.Context, places []profile.Place) {
	for _, at := range places {
		if _, guarded := r.Profiles.Guarded(at.Resource); guarded || at.Resource == profile.CRDResource() {
			continue
		}
		if at.Resource == (schema.GroupResource{Resource: "secrets"}) && r.From.MaySecrets != nil && !r.From.MaySecrets(at.Namespace) {
			continue
		}
		r.followMember(ctx, at)
	}
}

func (r *Recorder) followMember(ctx context.Context, at profile.Place) {
	r.follow(ctx, at, &memberSink{r, at.Resource}, shrinkMember)
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.followers[at]; f != nil {
		f.member, f.idle = true, false
	}
}

// stopIdle ends the watches of places in which no set has had, or looked for,
// members twice in a row: an Astarte that has gone leaves none behind.
func (r *Recorder) stopIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	needed := map[profile.Place]bool{}
	for _, one := range r.roots {
		for _, at := range one.places {
			needed[at] = true
		}
	}
	for at, f := range r.followers {
		switch {
		case !f.member:
		case needed[at]:
			f.idle = false
		case f.idle:
			f.stop()
			delete(r.followers, at)
		default:
			f.idle = true
		}
	}
}

// lost has saved anew what somebody removed from the store although it is the
// present state of what exists. Retention never takes that; people may.
func (r *Recorder) lost(of types.UID, id string, set bool) {
	if !set {
		seen, ok := r.Sets.versions.Load(of)
		if !ok || seen.(seenVersion).id != id {
			return // there is another one of what it is now
		}
		r.Sets.versions.Delete(of)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.roots {
		if set && one.uid == of && one.set == id || !set && one.needs(of) {
			one.dirty(r.Now())
			r.sets.AddAfter(one.uid, settle)
		}
	}
}

// memberSink is told of objects that may belong to sets.
type memberSink struct {
	r  *Recorder
	gr schema.GroupResource
}

func (s *memberSink) one(object metav1.Object) {
	s.nudge(object)
	s.r.changed(s.gr, object, false)
}

func (s *memberSink) gone(object metav1.Object) {
	s.nudge(object)
	s.r.changed(s.gr, object, true)
}

func (s *memberSink) all(objects []metav1.Object) {
	for _, o := range objects {
		s.one(o)
	}
}

// nudge wakes whoever follows the kind of a definition that has changed.
func (s *memberSink) nudge(object metav1.Object) {
	if s.gr != profile.CRDResource() {
		return
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	for at, f := range s.r.followers {
		if at.Resource.String() == object.GetName() {
			f.nudge()
		}
	}
}
