// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// NamespaceResource is the resource of Namespaces.
func NamespaceResource() schema.GroupResource { return schema.GroupResource{Resource: "namespaces"} }

// holding is what a namespace must hold of r to be guarded.
func holding(p *v1alpha1.GuardProfile, r *v1alpha1.GuardedResource) v1alpha1.Holding {
	for _, n := range []*v1alpha1.NamespaceGuard{r.Namespaces, p.Spec.Namespaces} {
		if n != nil && n.BlockWhileHolding != "" {
			return n.BlockWhileHolding
		}
	}
	return v1alpha1.HoldingInUse
}

// GuardsNamespaces tells whether any guarded resource keeps namespaces.
func (s *Set) GuardsNamespaces() bool {
	return slices.ContainsFunc(s.Resources(), func(g *Guarded) bool { return g.Holding != v1alpha1.HoldingNever })
}

// distinctForNamespaces tells whether any resource that keeps namespaces demands
// that approver and deleter differ.
func (s *Set) distinctForNamespaces() bool {
	return slices.ContainsFunc(s.Resources(), func(g *Guarded) bool { return g.Holding != v1alpha1.HoldingNever && g.DistinctApprover })
}

// Subject tells how the object called name of resource gr is guarded, if it is:
// as a guarded object, as the definition of guarded objects, as a namespace
// that may hold some, or as what an operator may not delete. A namespace has no
// profile and no mode of its own: both are those of what it holds.
func (s *Set) Subject(gr schema.GroupResource, name string) (*Guarded, bool) {
	if g, ok := s.guarded[gr]; ok {
		return g, true
	}
	switch gr {
	case CRDResource():
		if crd, ok := s.crds[name]; ok {
			return &crd.Guarded, true
		}
	case NamespaceResource():
		if s.GuardsNamespaces() {
			return &Guarded{Resource: gr, Mode: v1alpha1.ModeEnforce, Snapshot: v1alpha1.SnapshotNone, DistinctApprover: s.distinctForNamespaces()}, true
		}
	}
	return s.denied(gr, name)
}
