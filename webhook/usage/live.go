// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package usage answers who refers to a guarded object.
package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/pager"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

// Live asks the API server each time, with paged lists of the referring kinds.
// The lists are consistent reads, so every reference that was committed before
// the call began is seen.
type Live struct {
	Profiles *profile.Set
	Client   dynamic.Interface
	Kinds    Resolver
}

// Resolver finds the version in which objects of a resource can be read.
type Resolver interface {
	// Resolve tells whether gr is installed, and the version to read it in.
	Resolve(ctx context.Context, gr schema.GroupResource) (gvr schema.GroupVersionResource, installed bool, err error)
}

var _ guard.Usage = (*Live)(nil)

// Of implements guard.Usage.
func (l *Live) Of(ctx context.Context, target guard.Target, limit int) (guard.Use, error) {
	guarded, ok := l.Profiles.Guarded(target.Resource)
	if !ok {
		return guard.Use{}, nil
	}
	var all []guard.Referrer
	for i := 0; i < len(guarded.ReferencedBy); {
		// References are sorted by resource, so that each kind is listed once.
		end := i + 1
		for end < len(guarded.ReferencedBy) && guarded.ReferencedBy[end].Resource == guarded.ReferencedBy[i].Resource {
			end++
		}
		found, err := l.referrers(ctx, guarded.ReferencedBy[i:end], target)
		if err != nil {
			return guard.Use{}, err
		}
		all = append(all, found...)
		i = end
	}
	return summarise(all, limit), nil
}

// referrers lists one referring kind; refs are its reference paths.
func (l *Live) referrers(ctx context.Context, refs []profile.Reference, target guard.Target) ([]guard.Referrer, error) {
	gr := refs[0].Resource
	gvr, installed, err := l.Kinds.Resolve(ctx, gr)
	if err != nil {
		return nil, err
	}
	if !installed {
		return nil, nil
	}
	found, err := l.list(ctx, gvr, refs, target)
	if !apierrors.IsNotFound(err) {
		return found, err
	}
	// The kind, or this version of it, went away between the two calls. Only a
	// second look can tell "no such kind" from "elsewhere now".
	again, installed, resolveErr := l.Kinds.Resolve(ctx, gr)
	switch {
	case resolveErr != nil:
		return nil, resolveErr
	case !installed:
		return nil, nil
	case again == gvr:
		return nil, fmt.Errorf("list %s: its definition is there but it is not served yet; try again in a moment", gr)
	default:
		return l.list(ctx, again, refs, target)
	}
}

func (l *Live) list(ctx context.Context, gvr schema.GroupVersionResource, refs []profile.Reference, target guard.Target) ([]guard.Referrer, error) {
	var found []guard.Referrer
	list := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return l.Client.Resource(gvr).List(ctx, opts)
	})
	err := list.EachListItem(ctx, metav1.ListOptions{}, func(obj runtime.Object) error {
		item, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("unexpected item of type %T", obj)
		}
		r, refers, err := match(item, refs, target)
		if err != nil {
			return err
		}
		if refers {
			found = append(found, r)
		}
		return nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("list %s: %w", gvr.GroupResource(), err)
	}
	return found, err
}

// match tells whether item refers to target by one of refs.
func match(item *unstructured.Unstructured, refs []profile.Reference, target guard.Target) (guard.Referrer, bool, error) {
	r := guard.Referrer{
		Resource: refs[0].Resource, Kind: item.GetKind(), Namespace: item.GetNamespace(), Name: item.GetName(),
		Terminating: item.GetDeletionTimestamp() != nil,
	}
	if r.Resource == target.Resource && r.Namespace == target.Namespace && r.Name == target.Name {
		return r, false, nil // an object does not keep itself
	}
	for _, ref := range refs {
		hits, err := ref.Hits(item)
		if err != nil {
			return r, false, fmt.Errorf("read the references of %s: %w", r, err)
		}
		i := slices.IndexFunc(hits, func(h profile.Hit) bool { return h.Names(target.Namespace, target.Name) })
		if i >= 0 {
			r.Path, r.Revision = ref.Path.String(), hits[i].Revision
			return r, true, nil
		}
	}
	return r, false, nil
}

func summarise(all []guard.Referrer, limit int) guard.Use {
	slices.SortFunc(all, guard.Referrer.Compare)
	use := guard.Use{Total: len(all), First: all}
	for _, r := range all {
		if r.Terminating {
			use.Terminating++
		}
	}
	if limit >= 0 && len(all) > limit {
		use.First = all[:limit]
	}
	return use
}

var errNoVersion = errors.New("serves no version")
