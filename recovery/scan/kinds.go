// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func (s *Scanner) readKind(ctx context.Context, gr schema.GroupResource) (*kind, error) {
	k := &kind{resource: gr, broken: map[string]error{}, objects: map[types.NamespacedName]*object{}}
	if gr.Group == "" {
		return k, nil
	}
	live, err := s.Client.Resource(crdResource).Get(ctx, gr.String(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the definition of %s: %w", gr, err)
	}
	k.definition = &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, k.definition); err != nil {
		return nil, fmt.Errorf("read the definition of %s: %w", gr, err)
	}
	return k, nil
}

// versions are those in which objects may be read, the stored one first: it
// needs no conversion as long as everything is stored in it.
func (k *kind) versions() []string {
	if k.definition == nil {
		return nil
	}
	var versions []string
	for _, stored := range []bool{true, false} {
		for _, v := range k.definition.Spec.Versions {
			if v.Served && v.Storage == stored {
				versions = append(versions, v.Name)
			}
		}
	}
	return versions
}

// readObjects reads the objects of k in every served version until one works,
// and tries the others with a single object: clients ask for those as well.
func (s *Scanner) readObjects(ctx context.Context, w *world, k *kind) {
	versions := k.versions()
	if k.definition == nil {
		if k.resource.Group != "" {
			return
		}
		versions = []string{"v1"}
	}
	for _, version := range versions {
		gvr := k.resource.WithVersion(version)
		if k.version != "" {
			if len(k.objects) == 0 {
				continue
			}
			if _, err := s.Metadata.Resource(gvr).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
				k.broken[version] = err
			}
			continue
		}
		edges := len(w.edges)
		err := s.each(ctx, gvr, func(o *unstructured.Unstructured) {
			k.objects[nameOf(o)] = s.take(k, o)
			s.takeEdges(w, k, o)
		})
		switch {
		case err == nil:
			k.version = version
		case apierrors.IsForbidden(err):
			w.cannot(k.resource.String(), err)
			return
		default:
			k.broken[version] = err
			clear(k.objects)
			w.edges = w.edges[:edges]
		}
	}
}

func nameOf(o *unstructured.Unstructured) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// pageSize bounds what is in memory at a time.
const pageSize = 250

func (s *Scanner) each(ctx context.Context, gvr schema.GroupVersionResource, take func(*unstructured.Unstructured)) error {
	opts := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := s.Client.Resource(gvr).List(ctx, opts)
		if err != nil {
			return err
		}
		for i := range page.Items {
			take(&page.Items[i])
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return nil
		}
	}
}

func (s *Scanner) take(k *kind, o *unstructured.Unstructured) *object {
	taken := &object{
		NamespacedName: nameOf(o), uid: o.GetUID(), finalizers: o.GetFinalizers(),
		owned: len(o.GetOwnerReferences()) > 0, manager: managerOf(o),
	}
	if at := o.GetDeletionTimestamp(); at != nil {
		taken.terminating = &at.Time
	}
	if g, ok := s.Profiles.Guarded(k.resource); ok && g.Revisions != nil {
		taken.revisions = map[string]bool{}
		for _, r := range g.Revisions.Of(o) {
			if r.Number == "" {
				taken.revisions = nil // any pin might mean it
				break
			}
			taken.revisions[r.Number] = true
		}
	}
	return taken
}

func (s *Scanner) takeEdges(w *world, k *kind, o *unstructured.Unstructured) {
	for _, g := range s.Profiles.Resources() {
		for _, ref := range g.ReferencedBy {
			if ref.Resource != k.resource {
				continue
			}
			hits, err := ref.Hits(o)
			if err != nil {
				w.cannot(fmt.Sprintf("what %s %s refers to", k.resource, nameOf(o)), err)
			}
			for _, hit := range hits {
				w.edges = append(w.edges, edge{
					from: k.resource, referrer: nameOf(o), to: g.Resource,
					target: types.NamespacedName{Namespace: hit.Namespace, Name: hit.Name}, revision: hit.Revision,
				})
			}
		}
	}
}
