// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// Presence tells how things stand with a guarded object now.
type Presence interface {
	Of(ctx context.Context, target Target) (State, error)
}

// PresenceFunc is a function as a Presence.
type PresenceFunc func(ctx context.Context, target Target) (State, error)

// Of calls f.
func (f PresenceFunc) Of(ctx context.Context, target Target) (State, error) { return f(ctx, target) }

// State is what is known of a guarded object.
type State struct {
	// Kind is for messages; empty when the kind is not installed.
	Kind string
	// Clustered objects have no namespace, whatever a reference says.
	Clustered   bool
	Exists      bool
	Terminating bool
}

// Dangling finds references that lead to nothing: to a guarded object that does
// not exist or is being deleted. It only warns, because people may create
// things in any order, and because what is not there cannot be lost any more.
type Dangling struct {
	Presence Presence
	Profiles *profile.Set
}

// dangler is a reference that leads to nothing.
type dangler struct {
	target Target
	path   string
	state  State
}

// Warnings has a sentence for each of the first dangling references of object,
// in the order of the profile, and one that counts them when there are more.
// What could not be found out is an error beside the warnings for the rest.
func (d Dangling) Warnings(ctx context.Context, gr schema.GroupResource, object *unstructured.Unstructured) ([]string, error) {
	found, err := d.find(ctx, gr, object)
	who := Target{Resource: gr, Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
	if who.Name == "" {
		who.Name = object.GetGenerateName() + "…" // named by the API server later
	}
	var warnings []string
	for i, one := range found {
		if i == shown {
			warnings = append(warnings, fmt.Sprintf("%d references of %s lead to nothing.", len(found), who))
			break
		}
		warnings = append(warnings, one.warning(who))
	}
	return warnings, err
}

func (d dangler) warning(who Target) string {
	text := fmt.Sprintf("%s names %s in %s, which ", who, d.target, d.path)
	if d.state.Exists {
		return text + "is being deleted. See what becomes of it before relying on it."
	}
	return text + "does not exist. Create it, or correct the name."
}

func (d Dangling) find(ctx context.Context, gr schema.GroupResource, object *unstructured.Unstructured) ([]dangler, error) {
	named, err := d.named(gr, object)
	errs := []error{err}
	var found []dangler
	seen := map[Target]bool{}
	for _, one := range named {
		if seen[one.target] {
			continue
		}
		seen[one.target] = true
		if one.state, err = d.Presence.Of(ctx, one.target); err != nil {
			errs = append(errs, fmt.Errorf("look up %s: %w", one.target, err))
			continue
		}
		if one.state.Exists && !one.state.Terminating {
			continue
		}
		one.target.Kind = one.state.Kind
		if one.state.Clustered {
			one.target.Namespace = ""
		}
		found = append(found, one)
	}
	return found, errors.Join(errs...)
}

// named are the guarded objects that object names, but for itself.
func (d Dangling) named(gr schema.GroupResource, object *unstructured.Unstructured) ([]dangler, error) {
	var named []dangler
	var errs []error
	for _, guarded := range d.Profiles.Resources() {
		for _, ref := range guarded.ReferencedBy {
			if ref.Resource != gr {
				continue
			}
			hits, err := ref.Hits(object)
			if err != nil {
				errs = append(errs, fmt.Errorf("read reference: %w", err))
			}
			for _, hit := range hits {
				if guarded.Resource == gr && hit.Names(object.GetNamespace(), object.GetName()) {
					continue
				}
				named = append(named, dangler{
					target: Target{Resource: guarded.Resource, Namespace: hit.Namespace, Name: hit.Name}, path: ref.Path.String(),
				})
			}
		}
	}
	return named, errors.Join(errs...)
}
