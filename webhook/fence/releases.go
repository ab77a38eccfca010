// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/holdfast-dev/holdfast/config/release"
)

// Releases follows the revisions of fenced releases, in the namespaces where
// Holdfast may read Secrets. Where it may not, nothing is opened.
type Releases struct {
	Reader   release.Reader
	Metadata metadata.Interface
	// Changed is called when what is dropped may have changed.
	Changed func()

	mu      sync.Mutex
	watched map[string]bool
	// dropped is what was found since the last change.
	dropped map[release.Key][]Object
}

// Dropped implements the interface of that name. The namespace of a release is
// watched from the first time on, until ctx of that call's caller ends.
func (r *Releases) Dropped(ctx context.Context, key release.Key) []Object {
	r.mu.Lock()
	objects, known := r.dropped[key]
	r.mu.Unlock()
	if known {
		return objects
	}
	log := logr.FromContextOrDiscard(ctx).WithValues("release", key.String())
	revisions, err := r.Reader.History(ctx, key)
	switch {
	case apierrors.IsForbidden(err):
		log.V(1).Info("Helm release may not be read, so an upgrade that drops objects cannot delete them; name its namespace in the chart's value releaseNamespaces")
		return nil
	case err != nil:
		log.Error(err, "Helm release not read, so nothing of it is opened")
		return nil
	}
	if objects, err = droppedOf(revisions); err != nil {
		// That is so until a revision changes.
		log.Error(err, "Helm release not understood, so nothing of it is opened")
		objects = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched[key.Namespace] { // else a change would go unnoticed
		if r.dropped == nil {
			r.dropped = map[release.Key][]Object{}
		}
		r.dropped[key] = objects
	}
	return objects
}

// Watch follows the releases of a namespace until ctx ends.
func (r *Releases) Watch(ctx context.Context, namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched[namespace] {
		return
	}
	if r.watched == nil {
		r.watched = map[string]bool{}
	}
	informer := metadatainformer.NewFilteredMetadataInformer(r.Metadata, corev1.SchemeGroupVersion.WithResource("secrets"), namespace, 0, cache.Indexers{},
		func(o *metav1.ListOptions) { o.FieldSelector = "type=" + string(release.SecretType) }).Informer()
	log := logr.FromContextOrDiscard(ctx).WithValues("namespace", namespace)
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		log.V(1).Info("Watch for Helm releases interrupted", "why", err.Error())
	})
	changed := func(object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		meta, ok := object.(*metav1.PartialObjectMetadata)
		if !ok {
			return
		}
		r.mu.Lock()
		delete(r.dropped, release.Key{Namespace: meta.Namespace, Name: meta.Labels["name"]})
		r.mu.Unlock()
		r.Changed()
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, object any) { changed(object) }, DeleteFunc: changed,
	}); err != nil {
		return // only after the informer has been stopped
	}
	r.watched[namespace] = true
	go func() {
		informer.RunWithContext(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watched, namespace)
		r.dropped = nil
	}()
}
