// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Reader reads what is there now. What is not installed or not there is
// nothing; an error that is Forbidden means that it may not be read.
type Reader interface {
	// Object is the whole of one object, nil when it is not there.
	Object(ctx context.Context, at Name) (*unstructured.Unstructured, error)
	// Look is the metadata of one object, nil when it is not there.
	Look(ctx context.Context, at Name) (*metav1.PartialObjectMetadata, error)
	// List is the metadata of the objects of a namespace.
	List(ctx context.Context, gr schema.GroupResource, namespace string) ([]metav1.PartialObjectMetadata, error)
	// Referrers are the objects that name target by the path of m; their whole
	// is given where m asks for more than names.
	Referrers(ctx context.Context, m Member, target Name) ([]Found, error)
}

// Name names an object; Namespace is empty for a cluster-scoped one.
type Name struct {
	Resource        schema.GroupResource
	Namespace, Name string
}

// String names it as messages do.
func (n Name) String() string {
	if n.Namespace == "" {
		return n.Resource.String() + " " + n.Name
	}
	return n.Resource.String() + " " + n.Namespace + "/" + n.Name
}

// Found is one object that belongs to the set of another.
type Found struct {
	Name
	UID             types.UID
	ResourceVersion string
	// NamesOnly says that its content is not to be saved.
	NamesOnly bool
	// Revision is the revision of the root that it pins, if it refers to it.
	Revision string
	// Object is the whole of it, if it was read.
	Object *unstructured.Unstructured
}

// Closure is what belongs to one object.
type Closure struct {
	// Members are sorted, the object itself not among them.
	Members []Found
	// Partly are the reasons why it could be brought back only partly.
	Partly []string
	// Incomplete says that something could not be read.
	Incomplete bool
	// Wanted are the names that were looked for, found or not; Owners are the
	// UIDs whose objects were. A change of these changes the closure.
	Wanted []Name
	Owners []types.UID
	// Looked are the places of which objects were selected by their metadata.
	Looked []Place
}

// Place is the objects of a resource in a namespace; Prefix, if set, those
// whose names begin so.
type Place struct {
	Resource  schema.GroupResource
	Namespace string
	Prefix    string
}

// closing computes one closure.
type closing struct {
	set    *Set
	from   Reader
	result Closure
	seen   map[Name]int // place in Members
	done   map[Name]bool
	goes   map[schema.GroupResource][]string // names of what goes along unsaved
	// lists are what was listed already: all lines see the same moment.
	lists map[Place][]metav1.PartialObjectMetadata
}

// Closure finds what belongs to root, an object of the guarded resource g. What
// belongs to members that are guarded themselves belongs to it too. An error
// means that it could not be found out.
func (s *Set) Closure(ctx context.Context, g *Guarded, root *unstructured.Unstructured, from Reader) (Closure, error) {
	c := &closing{set: s, from: from, seen: map[Name]int{}, done: map[Name]bool{}, goes: map[schema.GroupResource][]string{}, lists: map[Place][]metav1.PartialObjectMetadata{}}
	self := Name{g.Resource, root.GetNamespace(), root.GetName()}
	if err := c.add(ctx, g, root); err != nil {
		return Closure{}, fmt.Errorf("find what belongs to %s: %w", self, err)
	}
	c.result.Members = slices.DeleteFunc(c.result.Members, func(f Found) bool { return f.Name == self })
	slices.SortFunc(c.result.Members, func(a, b Found) int {
		return cmp.Or(compareGR(a.Resource, b.Resource), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name.Name, b.Name.Name))
	})
	for gr, names := range c.goes {
		c.partly(goesAlong(gr, names))
	}
	slices.Sort(c.result.Partly)
	return c.result, nil
}

func (c *closing) partly(reason string) {
	if !slices.Contains(c.result.Partly, reason) {
		c.result.Partly = append(c.result.Partly, reason)
	}
}

// add takes in what belongs to object.
func (c *closing) add(ctx context.Context, g *Guarded, object *unstructured.Unstructured) error {
	self := Name{g.Resource, object.GetNamespace(), object.GetName()}
	if c.done[self] {
		return nil
	}
	c.done[self] = true
	for _, m := range g.Closure {
		found, err := c.selected(ctx, m, self, object)
		if apierrors.IsForbidden(err) {
			c.result.Incomplete = true
			c.partly(err.Error())
			continue
		}
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := c.take(ctx, m, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// take adds one member, and what belongs to it.
func (c *closing) take(ctx context.Context, m Member, f Found) error {
	f.NamesOnly = m.NamesOnly
	if m.NamesOnly && (m.OwnedBy || m.NamePrefix != nil) {
		c.goes[f.Resource] = append(c.goes[f.Resource], f.Name.Name)
	}
	at, twice := c.seen[f.Name]
	switch {
	case !twice:
		c.seen[f.Name] = len(c.result.Members)
		c.result.Members = append(c.result.Members, f)
	case !f.NamesOnly && c.result.Members[at].NamesOnly:
		f.Revision = cmp.Or(f.Revision, c.result.Members[at].Revision)
		c.result.Members[at] = f
	}
	g, guarded := c.set.Guarded(f.Resource)
	if m.NamesOnly || !guarded || len(g.Closure) == 0 {
		return nil
	}
	object := f.Object
	if object == nil {
		var err error
		if object, err = c.from.Object(ctx, f.Name); err != nil || object == nil {
			return err
		}
	}
	return c.add(ctx, g, object)
}
