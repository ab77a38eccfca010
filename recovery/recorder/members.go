// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
		r.follow(ctx, at, &memberSink{r, at.Resource}, shrinkMember)
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
