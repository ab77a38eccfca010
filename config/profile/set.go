// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Set is the profiles that are switched on, with their defaults filled in.
// It never changes.
type Set struct {
	profiles []*v1alpha1.GuardProfile
	guarded  map[schema.GroupResource]*Guarded
	crds     map[string]*CRD // by name
	// operators are those of all profiles.
	operators []*Operator
	digest    string
}

// Guarded is one guarded resource.
type Guarded struct {
	// Profile is the name of the profile that guards it.
	Profile  string
	Resource schema.GroupResource
	Mode     v1alpha1.Mode
	Snapshot v1alpha1.SnapshotPolicy
	Restore  v1alpha1.RestoreOptions
	// Holding is what makes a namespace keep its objects of this resource.
	Holding v1alpha1.Holding
	// DistinctApprover demands that whoever approves a deletion and whoever
	// deletes differ.
	DistinctApprover bool
	// ReferencedBy is sorted by resource; a resource may have several paths.
	ReferencedBy []Reference
	// Revisions reads the older specs that objects of this resource keep; nil
	// when they keep none.
	Revisions *StoredRevisions

	// Closure lists what belongs to the set of an object.
	Closure []Member

	conditions []condition
}

// BeforeOwner are the resources of what may belong to an object of g and comes
// back before it.
func (g *Guarded) BeforeOwner() []schema.GroupResource {
	var resources []schema.GroupResource
	for _, m := range g.Closure {
		if m.BeforeOwner && !slices.Contains(resources, m.Resource) {
			resources = append(resources, m.Resource)
		}
	}
	return resources
}

// Reference is one place where objects of Resource name a guarded object.
type Reference struct {
	Resource schema.GroupResource
	Path     *Path
}

// NewSet combines profiles, which Parse or Validate has found good. No
// resource may be guarded by two of them: it would be unclear which one holds.
func NewSet(profiles ...*v1alpha1.GuardProfile) (*Set, error) {
	s := &Set{profiles: slices.Clone(profiles), guarded: map[schema.GroupResource]*Guarded{}, crds: map[string]*CRD{}}
	slices.SortFunc(s.profiles, func(a, b *v1alpha1.GuardProfile) int { return cmp.Compare(a.Name, b.Name) })
	names := map[string]bool{}
	for _, p := range s.profiles {
		if names[p.Name] {
			return nil, fmt.Errorf("two profiles are called %q; rename one", p.Name)
		}
		names[p.Name] = true
		for i := range p.Spec.Resources {
			g, err := newGuarded(p, &p.Spec.Resources[i])
			if err != nil {
				return nil, fmt.Errorf("profile %q: %w", p.Name, err)
			}
			if other, twice := s.guarded[g.Resource]; twice {
				return nil, fmt.Errorf("resource %s is guarded by both profile %q and profile %q; switch one off", g.Resource, other.Profile, p.Name)
			}
			s.guarded[g.Resource] = g
		}
		s.addCRDs(p)
		for i := range p.Spec.Operators {
			op, err := newOperator(p, &p.Spec.Operators[i])
			if err != nil {
				return nil, fmt.Errorf("profile %q: %w", p.Name, err)
			}
			s.operators = append(s.operators, op)
		}
	}
	digest, err := digestOf(s.profiles)
	if err != nil {
		return nil, err
	}
	s.digest = digest
	return s, nil
}

func newGuarded(p *v1alpha1.GuardProfile, r *v1alpha1.GuardedResource) (*Guarded, error) {
	g := &Guarded{
		Profile:  p.Name,
		Resource: schema.ParseGroupResource(r.Resource),
		Mode:     cmp.Or(r.Mode, p.Spec.Mode, v1alpha1.ModeEnforce),
		Snapshot: cmp.Or(r.Snapshot, v1alpha1.SnapshotRequired),
		Restore:  r.Restore,
		Holding:  holding(p, r),

		DistinctApprover: p.Spec.RequireDistinctApprover,
	}
	for _, ref := range r.ReferencedBy {
		path, err := ParsePath(ref.Path)
		if err != nil {
			return nil, err
		}
		g.ReferencedBy = append(g.ReferencedBy, Reference{Resource: schema.ParseGroupResource(ref.Resource), Path: path})
	}
	var err error
	if g.Revisions, err = newStoredRevisions(r.StoredRevisions); err != nil {
		return nil, err
	}
	if g.conditions, err = newConditions(r.Recoverable); err != nil {
		return nil, err
	}
	if g.Closure, err = newMembers(r.Closure); err != nil {
		return nil, err
	}
	slices.SortStableFunc(g.ReferencedBy, func(a, b Reference) int { return compareGR(a.Resource, b.Resource) })
	return g, nil
}

// Guarded tells how gr is guarded, if it is.
func (s *Set) Guarded(gr schema.GroupResource) (*Guarded, bool) {
	g, ok := s.guarded[gr]
	return g, ok
}

// Resources lists the guarded resources, sorted by group, then resource.
func (s *Set) Resources() []*Guarded {
	return slices.SortedFunc(maps.Values(s.guarded), func(a, b *Guarded) int { return compareGR(a.Resource, b.Resource) })
}

// Referring lists the resources whose objects may name guarded objects, sorted.
func (s *Set) Referring() []schema.GroupResource {
	set := map[schema.GroupResource]bool{}
	for _, g := range s.guarded {
		for _, ref := range g.ReferencedBy {
			set[ref.Resource] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), compareGR)
}

// RestoreOptions tells how objects of gr are brought back.
func (s *Set) RestoreOptions(gr schema.GroupResource) (v1alpha1.RestoreOptions, bool) {
	g, ok := s.guarded[gr]
	if !ok {
		return v1alpha1.RestoreOptions{}, false
	}
	return g.Restore, true
}

// Profiles lists the profiles, sorted by name.
func (s *Set) Profiles() []*v1alpha1.GuardProfile { return s.profiles }

// Digest tells two sets apart: 16 hexadecimal digits over the profiles' content.
func (s *Set) Digest() string { return s.digest }

func digestOf(profiles []*v1alpha1.GuardProfile) (string, error) {
	h := sha256.New()
	for _, p := range profiles {
		if err := json.NewEncoder(h).Encode([]any{p.Name, p.Spec}); err != nil {
			return "", fmt.Errorf("digest profile %q: %w", p.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func compareGR(a, b schema.GroupResource) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
}
