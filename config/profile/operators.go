// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Operator is a program that owns and finalizes the guarded objects of a profile.
type Operator struct {
	// Profile is the name of the profile that describes it.
	Profile string
	// Mode is that of the profile.
	Mode v1alpha1.Mode
	// OfCRDs are the names of the definitions by which its installation is found.
	OfCRDs []string
	// Objects are those of an installation that no tool tracks.
	Objects []v1alpha1.ReleaseObject
	// ServiceAccounts are identities of it besides those of its installation.
	ServiceAccounts []v1alpha1.ServiceAccount
	// RequiredFor are the resources whose objects are not deleted without it.
	RequiredFor []schema.GroupResource
	// DenyDeletes are the deletions that it may not make itself.
	DenyDeletes []DeniedDelete
}

// DeniedDelete is a deletion that the operator itself may not make.
type DeniedDelete struct {
	Resource schema.GroupResource
	// Prefix is how the names begin; its paths are filled in with the guarded
	// objects of the profile in the same namespace.
	Prefix *Template
}

// MayName says that the prefix could be filled in so that name begins with it.
func (d *DeniedDelete) MayName(name string) bool {
	texts := d.Prefix.Texts()
	if d.Prefix.Constant() {
		return strings.HasPrefix(name, strings.Join(texts, ""))
	}
	for _, text := range texts {
		_, after, found := strings.Cut(name, text)
		if !found {
			return false
		}
		name = after
	}
	return true
}

// User is the name under which a ServiceAccount makes requests.
func User(namespace, name string) string { return "system:serviceaccount:" + namespace + ":" + name }

func newOperator(p *v1alpha1.GuardProfile, o *v1alpha1.Operator) (*Operator, error) {
	op := &Operator{Profile: p.Name, Mode: cmp.Or(p.Spec.Mode, v1alpha1.ModeEnforce), ServiceAccounts: o.ServiceAccounts}
	if o.Release != nil {
		for _, name := range o.Release.OfCRDs {
			op.OfCRDs = append(op.OfCRDs, schema.ParseGroupResource(name).String())
		}
		op.Objects = o.Release.Objects
	}
	for _, r := range o.RequiredFor {
		op.RequiredFor = append(op.RequiredFor, schema.ParseGroupResource(r))
	}
	for _, d := range o.DenyDeletes {
		prefix, err := ParseTemplate(d.NamePrefix)
		if err != nil {
			return nil, err
		}
		op.DenyDeletes = append(op.DenyDeletes, DeniedDelete{Resource: schema.ParseGroupResource(d.Resource), Prefix: prefix})
	}
	return op, nil
}

// Operators lists the operators of all profiles, by profile and in its order.
func (s *Set) Operators() []*Operator { return s.operators }

// OperatorsOf lists the operators of one profile.
func (s *Set) OperatorsOf(profile string) []*Operator {
	var all []*Operator
	for _, op := range s.operators {
		if op.Profile == profile {
			all = append(all, op)
		}
	}
	return all
}

// RequiredFor lists the operators without which objects of gr are not deleted.
func (s *Set) RequiredFor(gr schema.GroupResource) []*Operator {
	var all []*Operator
	for _, op := range s.operators {
		if slices.Contains(op.RequiredFor, gr) {
			all = append(all, op)
		}
	}
	return all
}

// denied tells how an object is guarded that an operator may not be allowed to
// delete: by the strictest profile that says so.
func (s *Set) denied(gr schema.GroupResource, name string) (*Guarded, bool) {
	var found *Guarded
	for _, op := range s.operators {
		for i := range op.DenyDeletes {
			d := &op.DenyDeletes[i]
			if d.Resource != gr || !d.MayName(name) || found != nil && !Stricter(op.Mode, found.Mode) {
				continue
			}
			found = &Guarded{Profile: op.Profile, Resource: gr, Mode: op.Mode, Snapshot: v1alpha1.SnapshotNone}
		}
	}
	return found, found != nil
}
