// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// referrerPage is how many referrers one request brings.
const referrerPage = 500

// warnOfReferences adds to item what is amiss about the references of saved
// and to it. None of that keeps it from being brought back. What plan brings
// back as well counts as there.
func (r *Recovery) warnOfReferences(ctx context.Context, plan *Plan, item *Item, saved *unstructured.Unstructured) {
	for _, g := range r.Profiles.Resources() {
		for _, ref := range g.ReferencedBy {
			if ref.Resource == item.target.Mapping.Resource.GroupResource() {
				for _, hit := range hitsOf(item, ref, saved) {
					r.warnOfMissing(ctx, plan, item, g.Resource, hit)
				}
			}
		}
	}
	if was := saved.GetGeneration(); was > 1 {
		item.warn("its generation starts at 1 again (it was %d)", was)
	}
	if g, ok := r.Profiles.Guarded(item.target.Mapping.Resource.GroupResource()); ok {
		r.warnOfPins(ctx, item, g)
	}
}

func hitsOf(item *Item, ref profile.Reference, saved *unstructured.Unstructured) []profile.Hit {
	hits, err := ref.Hits(saved)
	if err != nil {
		item.warn("its references at %s cannot be read: %v", ref.Path, err)
	}
	return hits
}

// warnOfMissing warns if hit, of resource gr, is not there.
func (r *Recovery) warnOfMissing(ctx context.Context, plan *Plan, item *Item, gr schema.GroupResource, hit profile.Hit) {
	mapping, err := r.mappingOf(ctx, gr)
	if err != nil {
		item.warn("it refers to %s %s, which cannot be looked up: %v", gr, hit.Name, err)
		return
	}
	namespace := hit.Namespace
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		namespace = ""
	}
	if plan.brings(gr, namespace, hit.Name) {
		return
	}
	named, err := r.clientFor(mapping, namespace).Get(ctx, hit.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		item.warn("it refers to %s %s, which does not exist; bring that back too", gr, joinName(namespace, hit.Name))
	case err != nil:
		item.warn("it refers to %s %s, which cannot be looked up: %v", gr, joinName(namespace, hit.Name), err)
	case terminating(named):
		item.warn("it refers to %s %s, which is Terminating; undo that too", gr, joinName(namespace, hit.Name))
	}
}

// warnOfPins warns of objects that name a revision of item's object: revisions
// are numbered by the generation, which starts again.
func (r *Recovery) warnOfPins(ctx context.Context, item *Item, g *profile.Guarded) {
	found, errs := make([][]string, len(g.ReferencedBy)), make([]error, len(g.ReferencedBy))
	var group errgroup.Group
	for i, ref := range g.ReferencedBy {
		group.Go(func() error {
			found[i], errs[i] = r.pins(ctx, item, ref)
			return nil // what the others find is of interest all the same
		})
	}
	_ = group.Wait() // each has its own error
	for i, err := range errs {
		if err != nil {
			item.warn("whether %s pin a revision of it is unknown: %v", g.ReferencedBy[i].Resource, err)
		}
	}
	pins := slices.Concat(found...)
	if len(pins) == 0 {
		return
	}
	slices.Sort(pins)
	item.warn("revisions of it are pinned by %s; check that they still resolve", firstFew(pins))
}

func (r *Recovery) pins(ctx context.Context, item *Item, ref profile.Reference) ([]string, error) {
	mapping, err := r.mappingOf(ctx, ref.Resource)
	if meta.IsNoMatchError(err) {
		return nil, nil // a kind that is not installed refers to nothing
	}
	if err != nil {
		return nil, err
	}
	var pins []string
	opts := metav1.ListOptions{Limit: referrerPage}
	for {
		page, err := r.Client.Resource(mapping.Resource).List(ctx, opts)
		if err != nil {
			return pins, err
		}
		for i := range page.Items {
			hits, err := ref.Hits(&page.Items[i])
			if err != nil {
				return pins, fmt.Errorf("%s: %w", joinName(page.Items[i].GetNamespace(), page.Items[i].GetName()), err)
			}
			for _, hit := range hits {
				if hit.Revision != "" && hit.Names(item.Namespace, item.Name) {
					pins = append(pins, fmt.Sprintf("%s %s (revision %s)", ref.Resource, joinName(page.Items[i].GetNamespace(), page.Items[i].GetName()), hit.Revision))
				}
			}
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return pins, nil
		}
	}
}

// mappingOf is the mapping of the preferred version of gr.
func (r *Recovery) mappingOf(ctx context.Context, gr schema.GroupResource) (*meta.RESTMapping, error) {
	kind, err := r.Mapper.KindForWithContext(ctx, gr.WithVersion(""))
	if err != nil {
		return nil, err
	}
	return r.Mapper.RESTMappingWithContext(ctx, kind.GroupKind(), kind.Version)
}
