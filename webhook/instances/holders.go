// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
)

// resolveAgain is the pause after a kind could not be looked up.
const resolveAgain = time.Second

// Holders knows which namespaces hold guarded objects, from watches of their
// metadata. It follows kinds that are installed or removed.
type Holders struct {
	Profiles *profile.Set
	Metadata metadata.Interface
	Kinds    Resolver
	// Changed is called, without arguments and from several goroutines, when
	// the answer of Namespaces may have changed.
	Changed func()
	// Counted is called likewise when that of Count may have changed for a
	// resource of a release; it may be nil. News says that there may be the first
	// or no more of it, and not only more or fewer.
	Counted func(news bool)

	mu    sync.Mutex
	kinds map[schema.GroupResource]*heldKind
}

// heldKind is what is known of one guarded resource.
type heldKind struct {
	// holds tells whether a namespace is kept for objects of this kind, fences
	// whether a release is.
	holds, fences bool
	synced        bool
	// epoch tells the events of one watch from those of the one before.
	epoch int
	// objects counts them by namespace, which is empty in the cluster's scope.
	objects map[string]int
	// look is written to when the definition of the kind has changed.
	look chan struct{}
}

// Namespaces lists the namespaces that hold guarded objects, sorted. Complete
// is false while some kind has not been read yet; there may then be more.
func (h *Holders) Namespaces() (names []string, complete bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]bool{}
	complete = h.kinds != nil
	for _, k := range h.kinds {
		if !k.holds {
			continue
		}
		complete = complete && k.synced
		for namespace := range k.objects {
			if namespace != "" {
				all[namespace] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all)), complete
}

// Count counts the objects of a resource by namespace; known is false while they
// have not been read.
func (h *Holders) Count(gr schema.GroupResource) (objects map[string]int, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.kinds[gr]
	if k == nil || !k.synced {
		return nil, false
	}
	return maps.Clone(k.objects), true
}

func (h *Holders) counted(k *heldKind, news bool) {
	if h.Counted != nil && k.fences {
		h.Counted(news)
	}
}

// Start watches until ctx ends.
func (h *Holders) Start(ctx context.Context) error {
	kinds := map[schema.GroupResource]*heldKind{}
	kind := func(gr schema.GroupResource) *heldKind {
		if kinds[gr] == nil {
			kinds[gr] = &heldKind{objects: map[string]int{}, look: make(chan struct{}, 1)}
		}
		return kinds[gr]
	}
	for gr := range h.Profiles.Fencing() {
		kind(gr).fences = true
	}
	for _, g := range h.Profiles.Resources() {
		if g.Holding != v1alpha1.HoldingNever {
			kind(g.Resource).holds = true
		}
	}
	h.mu.Lock()
	h.kinds = kinds
	h.mu.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	for gr, k := range kinds {
		all.Go(func() { h.follow(ctx, gr, k) })
	}
	h.followDefinitions(ctx, kinds)
	return nil
}

// followDefinitions wakes the kinds whose definitions change.
func (h *Holders) followDefinitions(ctx context.Context, kinds map[schema.GroupResource]*heldKind) {
	crds := apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	wake := func(object any) {
		if meta, ok := metaOf(object); ok {
			if k := kinds[schema.ParseGroupResource(meta.Name)]; k != nil {
				select {
				case k.look <- struct{}{}:
				default: // it looks anyway
				}
				h.counted(k, true) // it may belong to another release now
			}
		}
	}
	h.watch(ctx, crds, cache.ResourceEventHandlerFuncs{
		AddFunc: wake, UpdateFunc: func(_, object any) { wake(object) }, DeleteFunc: wake,
	}, nil)
	<-ctx.Done()
}

// follow watches one kind for as long as it is installed, in the version in
// which it can be read.
func (h *Holders) follow(ctx context.Context, gr schema.GroupResource, k *heldKind) {
	log := logr.FromContextOrDiscard(ctx).WithValues("resource", gr.String())
	var watched schema.GroupVersionResource
	stop := func() {}
	defer func() { stop() }()
	for ctx.Err() == nil {
		gvr, installed, err := h.Kinds.Resolve(ctx, gr)
		var again <-chan time.Time
		switch {
		case err != nil:
			log.V(1).Info("Kind not looked up, so its namespaces may not be known", "why", err.Error())
			again = time.After(resolveAgain)
		case !installed:
			stop()
			watched = schema.GroupVersionResource{}
			h.reset(k, true)
		case gvr != watched:
			stop()
			h.reset(k, false)
			kindCtx, cancel := context.WithCancel(ctx)
			stop, watched = cancel, gvr
			h.watchKind(kindCtx, gvr, k)
		}
		select {
		case <-ctx.Done():
		case <-k.look:
		case <-again:
		}
	}
}

// reset forgets what is known of a kind. Its namespaces stay those that are
// known until it is read anew, unless there is nothing to read.
func (h *Holders) reset(k *heldKind, synced bool) {
	h.mu.Lock()
	changed := synced && len(k.objects) > 0 || k.synced != synced
	k.objects, k.synced = map[string]int{}, synced
	k.epoch++
	h.mu.Unlock()
	if changed {
		h.Changed()
	}
	h.counted(k, true)
}

// watchKind counts the objects of a kind until ctx ends.
func (h *Holders) watchKind(ctx context.Context, gvr schema.GroupVersionResource, k *heldKind) {
	h.mu.Lock()
	epoch := k.epoch
	h.mu.Unlock()
	count := func(object any, by int) {
		meta, ok := metaOf(object)
		if !ok {
			return
		}
		h.mu.Lock()
		if k.epoch != epoch {
			h.mu.Unlock()
			return
		}
		held, there := h.holds(meta.Namespace), len(k.objects) > 0
		if k.objects[meta.Namespace] += by; k.objects[meta.Namespace] <= 0 {
			delete(k.objects, meta.Namespace)
		}
		// The first object of a kind is no news where others are.
		changed := k.synced && held != h.holds(meta.Namespace)
		news := there != (len(k.objects) > 0)
		h.mu.Unlock()
		h.counted(k, news)
		if changed {
			h.Changed()
		}
	}
	h.watch(ctx, gvr, cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { count(object, 1) }, DeleteFunc: func(object any) { count(object, -1) },
	}, func() {
		h.mu.Lock()
		k.synced = k.synced || k.epoch == epoch
		h.mu.Unlock()
		h.Changed()
		h.counted(k, true)
	})
}

// holds tells whether a namespace is kept for what it holds; the caller has the lock.
func (h *Holders) holds(namespace string) bool {
	for _, k := range h.kinds {
		if k.holds && namespace != "" && k.objects[namespace] > 0 {
			return true
		}
	}
	return false
}

// watch runs an informer until ctx ends; synced is called when handler has seen
// everything that was there at the start.
func (h *Holders) watch(ctx context.Context, gvr schema.GroupVersionResource, handler cache.ResourceEventHandler, synced func()) {
	log := logr.FromContextOrDiscard(ctx).WithValues("resource", gvr.GroupResource().String())
	informer := metadatainformer.NewFilteredMetadataInformer(h.Metadata, gvr, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	// Who and where is all that is needed; the rest would fill the memory.
	_ = informer.SetTransform(func(object any) (any, error) {
		if meta, ok := object.(*metav1.PartialObjectMetadata); ok {
			return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				Namespace: meta.Namespace, Name: meta.Name, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
			}}, nil
		}
		return object, nil
	})
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if !apierrors.IsNotFound(err) {
			log.V(1).Info("Watch for namespaces with guarded objects interrupted", "why", err.Error())
		}
	})
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return // only after the informer has been stopped
	}
	go informer.RunWithContext(ctx)
	if synced != nil {
		go func() {
			if cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
				synced()
			}
		}()
	}
}

func metaOf(object any) (*metav1.PartialObjectMetadata, bool) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	meta, ok := object.(*metav1.PartialObjectMetadata)
	return meta, ok
}
