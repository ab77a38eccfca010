// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/holdfast-dev/holdfast/config/profile"
)

// Live reads what belongs to objects from the API server, by consistent reads.
type Live struct {
	Client   dynamic.Interface
	Metadata metadata.Interface
	Profiles *profile.Set
	// Instances lists the objects of a resource in a namespace, or in all of
	// them, in whichever version can be read.
	Instances func(ctx context.Context, namespace string, guarded *profile.Guarded) ([]*unstructured.Unstructured, error)
	// Others are the versions in which a resource may be read besides version,
	// when err is of a kind that they may not have, such as that of a dead
	// conversion webhook; else none. It may be nil.
	Others func(ctx context.Context, gr schema.GroupResource, version string, err error) []string
	// MaySecrets tells whether the Secrets of a namespace may be read. Nil
	// leaves that to the API server.
	MaySecrets func(namespace string) bool
	// Followed answers from memory who refers by name only; ok is false for
	// what it does not follow. It may be nil.
	Followed func(m profile.Member, target profile.Name) (found []profile.Found, ok bool)

	kinds remembered
}

var _ profile.Reader = (*Live)(nil)

// NewLive is a Live that looks kinds up by definer.
func NewLive(client dynamic.Interface, meta metadata.Interface, definer Definer) *Live {
	return &Live{Client: client, Metadata: meta, kinds: remembered{definer: definer}}
}

// at finds how the objects of gr are read. An empty namespace comes back for a
// kind that has none.
func (l *Live) at(ctx context.Context, gr schema.GroupResource, namespace string) (Kind, string, bool, error) {
	if gr == (schema.GroupResource{Resource: "secrets"}) && l.MaySecrets != nil && !l.MaySecrets(namespace) {
		return Kind{}, "", false, profile.ErrForbidden
	}
	kind, installed, err := l.kinds.define(ctx, gr)
	if !kind.Namespaced {
		namespace = ""
	}
	return kind, namespace, installed, err
}

// Object implements profile.Reader.
func (l *Live) Object(ctx context.Context, at profile.Name) (*unstructured.Unstructured, error) {
	return one(ctx, l, at, func(ctx context.Context, kind Kind, namespace string) (*unstructured.Unstructured, error) {
		return l.Client.Resource(kind.Resource).Namespace(namespace).Get(ctx, at.Name, metav1.GetOptions{})
	})
}

// Look implements profile.Reader.
func (l *Live) Look(ctx context.Context, at profile.Name) (*metav1.PartialObjectMetadata, error) {
	return one(ctx, l, at, func(ctx context.Context, kind Kind, namespace string) (*metav1.PartialObjectMetadata, error) {
		return l.Metadata.Resource(kind.Resource).Namespace(namespace).Get(ctx, at.Name, metav1.GetOptions{})
	})
}

// one reads one object, nil when there is no such object. "Not found" is also
// the answer in a version that is no longer served: when the kind is read
// otherwise by now, what was remembered of it was out of date.
func one[T any](ctx context.Context, l *Live, at profile.Name, get func(ctx context.Context, kind Kind, namespace string) (*T, error)) (*T, error) {
	kind, namespace, installed, err := l.at(ctx, at.Resource, at.Namespace)
	if err != nil || !installed {
		return nil, err
	}
	first, cancel := context.WithTimeout(ctx, shareOf(ctx))
	defer cancel()
	o, err := get(first, kind, namespace)
	if apierrors.IsNotFound(err) && at.Resource.Group != "" {
		now, installed, lookErr := l.kinds.defineNow(ctx, at.Resource)
		if lookErr != nil || !installed {
			return nil, lookErr
		}
		if now != kind {
			if namespace = at.Namespace; !now.Namespaced {
				namespace = ""
			}
			kind = now
			o, err = get(first, kind, namespace)
		}
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil && l.Others != nil {
		for _, version := range l.Others(ctx, at.Resource, kind.Resource.Version, err) {
			if again, againErr := get(ctx, Kind{at.Resource.WithVersion(version), kind.Namespaced}, namespace); againErr == nil {
				return again, nil
			}
		}
	}
	if err != nil {
		l.kinds.forget(at.Resource)
		return nil, fmt.Errorf("read %s: %w", at, err)
	}
	return o, nil
}

// tryFor is how long one version may take where nobody waits.
const tryFor = 20 * time.Second

// shareOf is how much of the time that ctx leaves one version may take, so that
// a conversion webhook that does not answer leaves some for the others.
func shareOf(ctx context.Context) time.Duration {
	if until, ok := ctx.Deadline(); ok {
		return time.Until(until) / 2
	}
	return tryFor
}

// List implements profile.Reader.
func (l *Live) List(ctx context.Context, gr schema.GroupResource, namespace string) ([]metav1.PartialObjectMetadata, error) {
	kind, namespace, installed, err := l.at(ctx, gr, namespace)
	if err != nil || !installed {
		return nil, err
	}
	var all []metav1.PartialObjectMetadata
	opts := metav1.ListOptions{Limit: 500}
	for {
		page, err := l.Metadata.Resource(kind.Resource).Namespace(namespace).List(ctx, opts)
		if apierrors.IsResourceExpired(err) && opts.Continue != "" {
			all, opts.Continue = nil, ""
			continue
		}
		if err != nil {
			l.kinds.forget(gr)
			return nil, fmt.Errorf("list %s: %w", gr, err)
		}
		all = append(all, page.Items...)
		if opts.Continue = page.Continue; opts.Continue == "" {
			return all, nil
		}
	}
}

// Referrers implements profile.Reader.
func (l *Live) Referrers(ctx context.Context, m profile.Member, target profile.Name) ([]profile.Found, error) {
	if m.NamesOnly && l.Followed != nil {
		if found, ok := l.Followed(m, target); ok {
			return found, nil
		}
	}
	candidates, err := l.all(ctx, m.Resource)
	if err != nil {
		return nil, err
	}
	var found []profile.Found
	for _, o := range candidates {
		hits, err := m.Hits(o)
		if err != nil {
			return nil, fmt.Errorf("read what %s %s/%s refers to: %w", m.Resource, o.GetNamespace(), o.GetName(), err)
		}
		at := slices.IndexFunc(hits, func(h profile.Hit) bool { return h.Names(target.Namespace, target.Name) })
		if at < 0 {
			continue
		}
		f := profile.Found{
			Name: profile.Name{Resource: m.Resource, Namespace: o.GetNamespace(), Name: o.GetName()},
			UID:  o.GetUID(), ResourceVersion: o.GetResourceVersion(), Revision: hits[at].Revision,
		}
		if !m.NamesOnly {
			f.Object = o
		}
		found = append(found, f)
	}
	return found, nil
}

// all reads all objects of a resource.
func (l *Live) all(ctx context.Context, gr schema.GroupResource) ([]*unstructured.Unstructured, error) {
	guarded, ok := l.Profiles.Guarded(gr)
	if !ok {
		guarded = &profile.Guarded{Resource: gr}
	}
	objects, err := l.Instances(ctx, "", guarded)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gr, err)
	}
	return objects, nil
}
