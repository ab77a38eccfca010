// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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
	p := newPlan(l.Profiles)
	v := &view{plan: p, tables: map[schema.GroupResource]*table{}}
	var unread error
	for _, gr := range p.needed(target.Resource) {
		t, err := l.read(ctx, p.kinds[gr])
		if err != nil {
			unread = cmp.Or(unread, err)
			continue
		}
		v.tables[gr] = t
	}
	use, err := v.use(target, limit)
	if use.Total == 0 {
		err = cmp.Or(unread, err)
	}
	return use, err
}

// read lists the objects of one kind; nil when it is not installed.
func (l *Live) read(ctx context.Context, k *kindPlan) (*table, error) {
	gvr, installed, err := l.Kinds.Resolve(ctx, k.resource)
	if err != nil || !installed {
		return nil, err
	}
	t, err := l.list(ctx, gvr, k)
	if !apierrors.IsNotFound(err) {
		return t, err
	}
	// The kind, or this version of it, went away between the two calls. Only a
	// second look can tell "no such kind" from "elsewhere now".
	again, installed, resolveErr := l.Kinds.Resolve(ctx, k.resource)
	switch {
	case resolveErr != nil:
		return nil, resolveErr
	case !installed:
		return nil, nil
	case again == gvr:
		return nil, fmt.Errorf("list %s: its definition is there but it is not served yet; try again in a moment", k.resource)
	default:
		return l.list(ctx, again, k)
	}
}

func (l *Live) list(ctx context.Context, gvr schema.GroupVersionResource, k *kindPlan) (*table, error) {
	t := newTable(k)
	list := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return l.Client.Resource(gvr).List(ctx, opts)
	})
	err := list.EachListItem(ctx, metav1.ListOptions{}, func(obj runtime.Object) error {
		item, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("unexpected item of type %T", obj)
		}
		t.set(k.read(item))
		return nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("list %s: %w", gvr.GroupResource(), err)
	}
	return t, err
}

var errNoVersion = errors.New("serves no version")
