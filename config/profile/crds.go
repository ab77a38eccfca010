// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// CRD says how one CustomResourceDefinition is guarded. The Guarded in it is
// that of the definition, not of its instances.
type CRD struct {
	Guarded
	// Of is the resource that it defines.
	Of schema.GroupResource
	// Block refuses its deletion while instances exist. It is saved before it
	// goes in any case.
	Block bool
}

// CRDResource is the resource of CustomResourceDefinitions.
func CRDResource() schema.GroupResource {
	return schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
}

// CRD tells how the CustomResourceDefinition called name is guarded, if it is.
func (s *Set) CRD(name string) (*CRD, bool) {
	crd, ok := s.crds[name]
	return crd, ok
}

// CRDs lists the names of the guarded CustomResourceDefinitions, sorted.
func (s *Set) CRDs() []string { return slices.Sorted(maps.Keys(s.crds)) }

// addCRDs notes the definitions that p names: those of its resources, and those
// that an operator's release owns, for their instances belong to the same
// system. Where two profiles name one, the stricter mode holds.
func (s *Set) addCRDs(p *v1alpha1.GuardProfile) {
	block := p.Spec.CRDs == nil || p.Spec.CRDs.BlockWhileInstancesExist == nil || *p.Spec.CRDs.BlockWhileInstancesExist
	add := func(gr schema.GroupResource, mode v1alpha1.Mode) {
		if gr.Group == "" {
			return // no definition defines a core resource
		}
		crd := &CRD{
			Guarded: Guarded{
				Profile: p.Name, Resource: CRDResource(), Snapshot: v1alpha1.SnapshotRequired,
				Mode: cmp.Or(mode, p.Spec.Mode, v1alpha1.ModeEnforce), DistinctApprover: p.Spec.RequireDistinctApprover,
			},
			Of: gr, Block: block,
		}
		if other, ok := s.crds[gr.String()]; ok {
			crd.DistinctApprover = crd.DistinctApprover || other.DistinctApprover
			if !stricter(crd, other) {
				other.DistinctApprover = crd.DistinctApprover
				return
			}
		}
		s.crds[gr.String()] = crd
	}
	for _, r := range p.Spec.Resources {
		add(schema.ParseGroupResource(r.Resource), r.Mode)
	}
	for _, o := range p.Spec.Operators {
		if o.Release == nil {
			continue
		}
		for _, name := range o.Release.OfCRDs {
			gr := schema.ParseGroupResource(name)
			if !slices.ContainsFunc(p.Spec.Resources, func(r v1alpha1.GuardedResource) bool {
				return schema.ParseGroupResource(r.Resource) == gr
			}) {
				add(gr, "")
			}
		}
	}
}

func stricter(a, b *CRD) bool {
	if a.Block != b.Block {
		return a.Block
	}
	return Stricter(a.Mode, b.Mode)
}

// Stricter tells whether mode a stops more than b.
func Stricter(a, b v1alpha1.Mode) bool { return strictness(a) > strictness(b) }

func strictness(m v1alpha1.Mode) int {
	return slices.Index([]v1alpha1.Mode{v1alpha1.ModeAudit, v1alpha1.ModeWarn, v1alpha1.ModeEnforce}, m)
}
