// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// followDefinitions tells the feeds when the definition of their kind appears,
// changes or goes. It reads metadata alone, and keeps nothing: a definition may
// have 1.5 MB. A feed reads its own kind's when it changed.
func (i *Index) followDefinitions(ctx context.Context) {
	client, log := i.options.Metadata.Resource(crdResource), logf.FromContext(ctx)
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, opts)
			if err != nil && ctx.Err() == nil {
				i.definitions.Store(false)
				for _, f := range i.sorted {
					f.nudge() // they look often now
				}
				log.Info("CustomResourceDefinitions cannot be followed; changes of them are noticed later", "reason", err.Error())
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, opts)
		},
	}, i.options.Metadata), nil, definitions{i.feeds, &i.definitions}, cache.ReflectorOptions{Name: "definitions", TypeDescription: crdResource.Resource})
	reflector.RunWithContext(klog.NewContext(ctx, logr.Discard()))
}

// definitions is a store that passes on names and keeps nothing.
type definitions struct {
	feeds map[schema.GroupResource]*feed
	// synced is set when they were all read.
	synced *atomic.Bool
}

var _ cache.TransformingStore = definitions{}

// Transformer keeps the reflector's own memory small.
func (d definitions) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if m, ok := object.(metav1.Object); ok {
			return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: m.GetName(), ResourceVersion: m.GetResourceVersion()}}, nil
		}
		return object, nil
	}
}

func (d definitions) changed(object any) error {
	m, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("read a definition: unexpected object of type %T", object)
	}
	if f := d.feeds[schema.ParseGroupResource(m.GetName())]; f != nil {
		f.nudge()
	}
	return nil
}

// Add implements cache.ReflectorStore.
func (d definitions) Add(object any) error { return d.changed(object) }

// Update implements cache.ReflectorStore.
func (d definitions) Update(object any) error { return d.changed(object) }

// Delete implements cache.ReflectorStore.
func (d definitions) Delete(object any) error { return d.changed(object) }

// Replace implements cache.ReflectorStore. What is no longer listed may have
// gone, so all look.
func (d definitions) Replace([]any, string) error {
	d.synced.Store(true)
	for _, f := range d.feeds {
		f.nudge()
	}
	return nil
}

// Resync implements cache.ReflectorStore; there is nobody to tell again.
func (d definitions) Resync() error { return nil }
