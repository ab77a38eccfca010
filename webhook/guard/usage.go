// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"cmp"
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Usage answers who refers to a guarded object, as of now: no reference that
// was committed before the call began may be missing. It lists at most limit
// referrers, or all when limit is negative, and counts all. "The kind is not
// installed" means no referrers of that kind; anything else that keeps it from
// knowing is an error.
type Usage interface {
	Of(ctx context.Context, target Target, limit int) (Use, error)
}

// Recaller is a Usage that also tells what it knows without making sure that it
// is current. That is enough to explain a refusal, not to decide.
type Recaller interface {
	Recall(target Target, limit int) Use
}

// UsageFunc is a function as a Usage.
type UsageFunc func(ctx context.Context, target Target, limit int) (Use, error)

// Of calls f.
func (f UsageFunc) Of(ctx context.Context, target Target, limit int) (Use, error) {
	return f(ctx, target, limit)
}

// Use is who refers to an object.
type Use struct {
	// Total counts the referrers; an object with two references counts once.
	Total int
	// Terminating counts those of them that are being deleted; until they are
	// gone they may still need what they refer to.
	Terminating int
	// First are the first referrers in the order of Compare.
	First []Referrer
}

// Referrer is an object that refers to a guarded object.
type Referrer struct {
	Resource        schema.GroupResource
	Kind            string
	Namespace, Name string
	// Path is the reference path that found it, the first if there are several.
	Path string
	// Revision is the revision that it pins, if any.
	Revision    string
	Terminating bool
	// Stored is the older revision of the referrer that holds the reference,
	// when its current spec does not; PinnedBy is the first object that pins
	// that revision, such as "database tenant-b/pinned".
	Stored, PinnedBy string
}

// Compare orders referrers by kind, namespace and name, as people read them.
func (r Referrer) Compare(other Referrer) int {
	return cmp.Or(
		cmp.Compare(strings.ToLower(r.Kind), strings.ToLower(other.Kind)),
		cmp.Compare(r.Resource.Group, other.Resource.Group),
		cmp.Compare(r.Namespace, other.Namespace),
		cmp.Compare(r.Name, other.Name),
	)
}

func (r Referrer) target() Target {
	return Target{Resource: r.Resource, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

func (r Referrer) String() string { return r.target().String() }

// held says which older revision of the referrer holds the reference, if it is
// not the current one.
func (r Referrer) held() string {
	if r.Stored == "" {
		return ""
	}
	return " (revision " + r.Stored + ", pinned by " + r.PinnedBy + ")"
}

// String names the object as people say it: kind, then namespace/name.
func (t Target) String() string {
	kind := strings.ToLower(cmp.Or(t.Kind, t.Resource.Resource))
	if t.Namespace == "" {
		return kind + " " + t.Name
	}
	return kind + " " + t.Namespace + "/" + t.Name
}
