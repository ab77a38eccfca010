// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// feedStore is where a reflector puts what it reads in one epoch of a feed.
type feedStore struct {
	feed  *feed
	epoch uint64
}

var (
	_ cache.ReflectorStore         = feedStore{}
	_ cache.ReflectorBookmarkStore = feedStore{}
)

func (s feedStore) event(kind watch.EventType, object any) error {
	o, ok := object.(runtime.Object)
	if !ok {
		return fmt.Errorf("read an event of %s: unexpected object of type %T", s.feed.resource(), object)
	}
	return s.feed.apply(s.epoch, kind, o)
}

// Add implements cache.ReflectorStore.
func (s feedStore) Add(object any) error { return s.event(watch.Added, object) }

// Update implements cache.ReflectorStore.
func (s feedStore) Update(object any) error { return s.event(watch.Modified, object) }

// Delete implements cache.ReflectorStore.
func (s feedStore) Delete(object any) error { return s.event(watch.Deleted, object) }

// Bookmark implements cache.ReflectorBookmarkStore.
func (s feedStore) Bookmark(version string) error {
	mark := &unstructured.Unstructured{Object: map[string]any{}}
	mark.SetResourceVersion(version)
	return s.feed.apply(s.epoch, watch.Bookmark, mark)
}

// Replace implements cache.ReflectorStore.
func (s feedStore) Replace(objects []any, version string) error {
	v, err := parseVersion(s.feed.resource(), version)
	if err != nil {
		return err
	}
	all := make([]*facts, len(objects))
	for i, object := range objects {
		var ok bool
		if all[i], ok = object.(*facts); !ok {
			return fmt.Errorf("list %s: unexpected item of type %T", s.feed.resource(), object)
		}
	}
	return s.feed.replace(s.epoch, all, v)
}

// Resync implements cache.ReflectorStore; there is nobody to tell again.
func (s feedStore) Resync() error { return nil }
