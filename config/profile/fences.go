// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Release is an installation that a profile wants to be kept whole while
// instances of its definitions exist.
type Release struct {
	// ID tells the releases of a set apart: PROFILE_NUMBER.
	ID      string
	Profile string
	// CRDs are the names of its definitions that block.
	CRDs []string
	// Objects are listed by the profile.
	Objects []v1alpha1.ReleaseObject
}

// Releases lists the releases of the profiles. A definition that is not guarded
// in earnest, by its mode or its profile, keeps no release.
func (s *Set) Releases() []Release {
	var releases []Release
	for _, p := range s.profiles {
		for i, o := range p.Spec.Operators {
			if o.Release == nil {
				continue
			}
			r := Release{ID: fmt.Sprintf("%s_%d", p.Name, i), Profile: p.Name, Objects: o.Release.Objects}
			for _, name := range o.Release.OfCRDs {
				name = schema.ParseGroupResource(name).String()
				if crd, ok := s.CRD(name); ok && crd.Block && crd.Mode == v1alpha1.ModeEnforce {
					r.CRDs = append(r.CRDs, name)
				}
			}
			releases = append(releases, r)
		}
	}
	return releases
}

// Fencing are the resources whose instances keep a release whole.
func (s *Set) Fencing() map[schema.GroupResource]bool {
	resources := map[schema.GroupResource]bool{}
	for _, r := range s.Releases() {
		for _, name := range r.CRDs {
			resources[schema.ParseGroupResource(name)] = true
		}
	}
	return resources
}
