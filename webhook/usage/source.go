// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// pageSize is how many objects are asked for at once, and the size up to which
// a kind is small: one page shows all of it.
const pageSize = 500

// source reads the objects of one kind as facts. An object is let go as soon as
// it was read, so that no more than a page of them is in memory.
type source struct {
	plan   *kindPlan
	client dynamic.Interface
	kind   Definition
	// told is called with what a list or watch ends in, nil for success; nil
	// when nobody wants to know.
	told func(err error)
	// reconnect gives up the connections that rest; it may be nil.
	reconnect func()
}

func (s source) tell(err error) {
	if s.told != nil {
		s.told(err)
	}
}

// factsList is a list of objects of which only facts are kept.
type factsList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []*facts
}

// DeepCopyObject implements runtime.Object; like facts, it never changes.
func (l *factsList) DeepCopyObject() runtime.Object { return l }

// page reads a page; with an empty namespace, of all namespaces.
func (s source) page(ctx context.Context, namespace string, opts metav1.ListOptions) (*factsList, error) {
	objects, err := s.client.Resource(s.kind.Resource).Namespace(namespace).List(ctx, opts)
	if err != nil {
		return nil, err
	}
	list := &factsList{
		ListMeta: metav1.ListMeta{ResourceVersion: objects.GetResourceVersion(), Continue: objects.GetContinue()},
		Items:    make([]*facts, 0, len(objects.Items)),
	}
	for i := range objects.Items {
		list.Items = append(list.Items, s.plan.read(&objects.Items[i]))
	}
	return list, nil
}

// patience is how long a page may take before it is asked for once more. The
// usual reason is a connection that hangs, and then those that rest beside it
// hang as well: the second try uses none of them.
const patience = 1500 * time.Millisecond

// promptPage is page for when somebody waits.
func (s source) promptPage(ctx context.Context, namespace string, opts metav1.ListOptions) (*factsList, error) {
	return prompt(ctx, s.reconnect, func(ctx context.Context) (*factsList, error) { return s.page(ctx, namespace, opts) })
}

// prompt reads when somebody waits.
func prompt[T any](ctx context.Context, reconnect func(), read func(context.Context) (T, error)) (T, error) {
	first, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := read(first)
	if err == nil || first.Err() == nil || ctx.Err() != nil {
		return answer, err
	}
	if reconnect != nil {
		reconnect()
	}
	return read(ctx)
}

// all reads all objects, page by page. It is for the first sync only. The
// options of a reflector ask for the watch cache, which pays no heed to pages.
func (s source) all(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	all := &factsList{}
	opts := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := s.page(ctx, "", opts)
		if err != nil {
			s.tell(err)
			return nil, err
		}
		all.Items = append(all.Items, page.Items...)
		all.ListMeta = page.ListMeta
		if opts.Continue = page.Continue; opts.Continue == "" {
			return all, nil
		}
	}
}

// watch gives events with facts. Bookmarks and errors are as they came.
func (s source) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := s.client.Resource(s.kind.Resource).Watch(ctx, opts)
	if err != nil {
		// Not every server streams a list; a reflector asks for pages then.
		if opts.SendInitialEvents == nil {
			s.tell(err)
		}
		return nil, err
	}
	s.tell(nil)
	out := &factsWatch{incoming: w, source: s, events: make(chan watch.Event), stopped: make(chan struct{})}
	go out.run()
	return out, nil
}

// factsWatch turns objects into facts. watch.Filter would do so too, but when
// it is stopped with an event in hand it waits forever for a reader.
type factsWatch struct {
	incoming watch.Interface
	source   source
	events   chan watch.Event
	stopped  chan struct{}
	stop     sync.Once
}

// ResultChan implements watch.Interface.
func (w *factsWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop implements watch.Interface.
func (w *factsWatch) Stop() {
	w.stop.Do(func() {
		close(w.stopped)
		w.incoming.Stop()
	})
}

func (w *factsWatch) run() {
	defer close(w.events)
	for event := range w.incoming.ResultChan() {
		switch event.Type {
		case watch.Added, watch.Modified, watch.Deleted:
			if object, ok := event.Object.(*unstructured.Unstructured); ok {
				event.Object = w.source.plan.read(object)
			}
		case watch.Error:
			w.source.tell(apierrors.FromObject(event.Object))
		case watch.Bookmark:
		}
		select {
		case w.events <- event:
		case <-w.stopped:
			return
		}
	}
}

// listerWatcher is the source as a reflector wants it.
func (s source) listerWatcher() cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  s.all,
		WatchFuncWithContext: s.watch,
	}, s.client)
}

// now is a version that includes all that was committed before the call: that
// of a consistent list which is to find nothing. It costs the same for any
// number of objects where there are namespaces.
func (s source) now(ctx context.Context) (uint64, error) {
	namespace := ""
	if s.kind.Namespaced {
		namespace = emptyNamespace
	}
	list, err := s.promptPage(ctx, namespace, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, err
	}
	return parseVersion(s.kind.Resource.GroupResource(), list.ResourceVersion)
}

// emptyNamespace need not exist; if it does and holds objects, that only makes
// the answer slower.
const emptyNamespace = "holdfast-nothing-here"

// parseVersion reads a resourceVersion. Those of one resource rise with every
// change, which Kubernetes promises since 1.35 and etcd has always done.
func parseVersion(gr schema.GroupResource, text string) (uint64, error) {
	v := versionNumber(text)
	if v == 0 {
		return 0, fmt.Errorf("compare versions of %s: its server gives resource version %q, which has no order", gr, text)
	}
	return v, nil
}

// versionOf is the resourceVersion of an event's object.
func versionOf(gr schema.GroupResource, object runtime.Object) (uint64, error) {
	m, err := meta.Accessor(object)
	if err != nil {
		return 0, fmt.Errorf("read an event of %s: %w", gr, err)
	}
	return parseVersion(gr, m.GetResourceVersion())
}

// tooOld tells that the server has forgotten the changes since a version.
func tooOld(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}
