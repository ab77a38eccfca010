// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package approvals

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
)

// Releases follows the approvals for Helm releases. Their removal is fenced by
// the API server itself, so that the fence has to be opened before somebody
// asks. Who will remove one is not known then.
type Releases struct {
	Client dynamic.Interface
	// Now is the clock by which approvals expire.
	Now func() time.Time
	// Changed is called when a release may be approved now, or not any more.
	Changed func()

	mu    sync.Mutex
	known map[string]*v1alpha1.DeletionApproval // by name
}

// Start watches until ctx ends. While there is no definition there are no
// approvals; it is tried again. What was known when it watched last is
// forgotten: approvals may have been taken back since.
func (r *Releases) Start(ctx context.Context) error {
	r.mu.Lock()
	r.known = nil
	r.mu.Unlock()
	informer := dynamicinformer.NewFilteredDynamicInformer(r.Client, Resource(), "", 0, cache.Indexers{}, nil).Informer()
	if err := informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		return err
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: r.note, UpdateFunc: func(_, object any) { r.note(object) }, DeleteFunc: r.forget,
	}); err != nil {
		return err
	}
	informer.RunWithContext(ctx)
	return nil
}

// Approved tells whether the removal of the release is approved now.
func (r *Releases) Approved(namespace, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.known {
		if forRelease(a, namespace, name) && untimely(a, r.Now()) == "" {
			return true
		}
	}
	return false
}

// Release tells which approval there is now for the removal of a release; empty
// when there is none.
func (s *Store) Release(ctx context.Context, namespace, name string) (string, error) {
	all, err := s.list(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if forRelease(a, namespace, name) && untimely(a, s.Now()) == "" {
			return a.Name, nil
		}
	}
	return "", nil
}

func forRelease(a *v1alpha1.DeletionApproval, namespace, name string) bool {
	return a.Spec.Resource == v1alpha1.ReleaseResource && a.Spec.Namespace == namespace && a.Spec.Name == name
}

func (r *Releases) note(object any) {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	a, err := decode(o)
	if err != nil || a.Spec.Resource != v1alpha1.ReleaseResource {
		return
	}
	r.mu.Lock()
	if r.known == nil {
		r.known = map[string]*v1alpha1.DeletionApproval{}
	}
	_, again := r.known[a.Name]
	r.known[a.Name] = a
	r.mu.Unlock()
	if again {
		return // an approval never changes
	}
	if until, err := Until(a); err == nil && r.Now().Before(until) {
		time.AfterFunc(until.Sub(r.Now()), r.Changed)
		r.Changed()
	}
}

func (r *Releases) forget(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	r.mu.Lock()
	_, known := r.known[o.GetName()]
	delete(r.known, o.GetName())
	r.mu.Unlock()
	if known {
		r.Changed()
	}
}
