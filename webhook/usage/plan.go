// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// plan is what the profiles ask to be read of each referring kind. It never
// changes.
type plan struct {
	profiles *profile.Set
	kinds    map[schema.GroupResource]*kindPlan
}

// kindPlan is what is read of the objects of one referring kind.
type kindPlan struct {
	resource schema.GroupResource
	// refs are all places where its objects name guarded objects: those that
	// name the same resource in the order of the profile.
	refs []place
	// revisions reads the older specs that its objects keep, if they do.
	revisions *profile.StoredRevisions
}

// place is one reference path and the guarded resource that it leads to.
type place struct {
	target schema.GroupResource
	ref    profile.Reference
}

func newPlan(set *profile.Set) *plan {
	p := &plan{profiles: set, kinds: map[schema.GroupResource]*kindPlan{}}
	for _, guarded := range set.Resources() {
		for _, ref := range guarded.ReferencedBy {
			k := p.kinds[ref.Resource]
			if k == nil {
				k = &kindPlan{resource: ref.Resource}
				if g, ok := set.Guarded(ref.Resource); ok {
					k.revisions = g.Revisions
				}
				p.kinds[ref.Resource] = k
			}
			k.refs = append(k.refs, place{target: guarded.Resource, ref: ref})
		}
	}
	return p
}

// referring lists the kinds whose objects may name objects of gr.
func (p *plan) referring(gr schema.GroupResource) []schema.GroupResource {
	guarded, ok := p.profiles.Guarded(gr)
	if !ok {
		return nil
	}
	var kinds []schema.GroupResource
	for _, ref := range guarded.ReferencedBy {
		if !slices.Contains(kinds, ref.Resource) {
			kinds = append(kinds, ref.Resource)
		}
	}
	return kinds
}

// needed lists the kinds that must be known to decide about an object of gr:
// those that may name it and, where these keep older specs, those that may pin
// such an older spec, and so on.
func (p *plan) needed(gr schema.GroupResource) []schema.GroupResource {
	kinds := p.referring(gr)
	for i := 0; i < len(kinds); i++ {
		if p.kinds[kinds[i]].revisions == nil {
			continue
		}
		for _, more := range p.referring(kinds[i]) {
			if !slices.Contains(kinds, more) {
				kinds = append(kinds, more)
			}
		}
	}
	return kinds
}

// pinned tells whether older specs play a part in decisions about gr.
func (p *plan) pinned(gr schema.GroupResource) bool {
	return slices.ContainsFunc(p.referring(gr), func(kind schema.GroupResource) bool { return p.kinds[kind].revisions != nil })
}
