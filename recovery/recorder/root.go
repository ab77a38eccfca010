// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// maxPending bounds how many versions of one object wait to be saved while the
// store cannot be reached; the oldest are given up first.
const maxPending = 50

// root is one guarded object that exists.
type root struct {
	profile.Name
	guarded     *profile.Guarded
	uid         types.UID
	version     string // resourceVersion
	terminating bool
	// pending are versions that were seen and not saved yet, oldest first.
	pending []*unstructured.Unstructured
	// last is the ID of the version that was saved last.
	last string

	// closure is what the latest set was taken of, members its versions.
	closure profile.Closure
	members map[profile.Name]member
	// places are where what is not guarded itself may come to belong to the set.
	places []profile.Place
	// set is the ID of the latest set.
	set string
	// dirtySince is since when the set is not current; zero when it is.
	dirtySince time.Time
	complete   bool
}

// member is one member of the latest set as it was then.
type member struct {
	version string // resourceVersion
	uid     types.UID
}

// see notes a version.
func (r *root) see(o *unstructured.Unstructured) {
	r.version, r.terminating = o.GetResourceVersion(), o.GetDeletionTimestamp() != nil
	r.pending = append(r.pending, o)
	if more := len(r.pending) - maxPending; more > 0 {
		r.pending = r.pending[more:]
	}
}

// dirty notes that the set is not current any more.
func (r *root) dirty(now time.Time) {
	if r.dirtySince.IsZero() {
		r.dirtySince = now
	}
}

// took notes what the latest set was taken of.
func (r *root) took(t Taken) {
	r.closure, r.complete, r.set = t.Closure, !t.Closure.Incomplete, t.Set.ID
	r.members = make(map[profile.Name]member, len(t.Closure.Members))
	for _, m := range t.Closure.Members {
		r.members[m.Name] = member{m.ResourceVersion, m.UID}
	}
	r.closure.Members = nil // their versions are all that is needed
	r.places = placesOf(&r.closure)
}

// concerns tells whether a change of the object called name changes the set.
func (r *root) concerns(name profile.Name, o metav1.Object) bool {
	if m, is := r.members[name]; is {
		return m.version != o.GetResourceVersion()
	}
	if slices.Contains(r.closure.Wanted, name) {
		return true
	}
	for _, place := range r.closure.Looked {
		if place.Resource != name.Resource || place.Namespace != name.Namespace {
			continue
		}
		if place.Prefix != "" && strings.HasPrefix(name.Name, place.Prefix) {
			return true
		}
		if place.Prefix == "" && slices.ContainsFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
			return slices.Contains(r.closure.Owners, ref.UID)
		}) {
			return true
		}
	}
	return false
}

// has tells whether an object is a member of the latest set.
func (r *root) has(name profile.Name) bool {
	_, is := r.members[name]
	return is
}

// needs tells whether the snapshots of an object are part of the set.
func (r *root) needs(uid types.UID) bool {
	if r.uid == uid {
		return true
	}
	for _, m := range r.members {
		if m.uid == uid {
			return true
		}
	}
	return false
}

// placesOf are where the members of a set are, or may come to be: each a
// resource in one namespace.
func placesOf(closure *profile.Closure) []profile.Place {
	var places []profile.Place
	add := func(p profile.Place) {
		p.Prefix = ""
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, p := range closure.Looked {
		add(p)
	}
	for _, name := range closure.Wanted {
		add(profile.Place{Resource: name.Resource, Namespace: name.Namespace})
	}
	return places
}
