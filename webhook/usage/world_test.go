// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	metadatafake "k8s.io/client-go/metadata/fake"
)

// world is an API server as far as an index sees one: objects, a version that
// rises with every change, lists by page, and watches with bookmarks.
type world struct {
	mu        sync.Mutex
	version   int64
	compacted int64
	objects   map[schema.GroupResource]map[objectName]*unstructured.Unstructured
	changes   []change
	changed   chan struct{}
	missing   map[string]bool // resources that are not installed
	lists     []metav1.ListOptions
}

type change struct {
	gr      schema.GroupResource
	event   watch.EventType
	object  *unstructured.Unstructured
	version int64
}

func newWorld() *world {
	return &world{version: 100, objects: map[schema.GroupResource]map[objectName]*unstructured.Unstructured{}, changed: make(chan struct{}), missing: map[string]bool{}}
}

// put creates or changes an object.
func (w *world) put(plural string, object *unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gr, name := resource(plural), objectName{object.GetNamespace(), object.GetName()}
	event := watch.Added
	if w.objects[gr][name] != nil {
		event = watch.Modified
	}
	if w.objects[gr] == nil {
		w.objects[gr] = map[objectName]*unstructured.Unstructured{}
	}
	w.objects[gr][name] = object
	w.note(gr, event, object)
}

func (w *world) remove(plural string, name objectName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gr := resource(plural)
	if object := w.objects[gr][name]; object != nil {
		delete(w.objects[gr], name)
		w.note(gr, watch.Deleted, object.DeepCopy())
	}
}

func (w *world) note(gr schema.GroupResource, event watch.EventType, object *unstructured.Unstructured) {
	w.version++
	object.SetResourceVersion(strconv.FormatInt(w.version, 10))
	w.changes = append(w.changes, change{gr, event, object.DeepCopy(), w.version})
	close(w.changed)
	w.changed = make(chan struct{})
}

// forget makes older versions expire, as compaction does.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compacted = w.version
}

func (w *world) now() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(w.version) //nolint:gosec // it only rises
}

// Define implements Definer.
func (w *world) Define(_ context.Context, gr schema.GroupResource) (Definition, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Definition{Resource: gr.WithVersion("v1beta1"), Namespaced: true}, !w.missing[gr.Resource], nil
}

// Resolve implements Resolver.
func (w *world) Resolve(ctx context.Context, gr schema.GroupResource) (schema.GroupVersionResource, bool, error) {
	d, installed, err := w.Define(ctx, gr)
	return d.Resource, installed, err
}

// line is a connection to the world. While it hangs, nothing comes through.
type line struct {
	dynamic.Interface
	dynamic.NamespaceableResourceInterface
	world     *world
	gr        schema.GroupResource
	namespace string
	hang      *hang
}

type hang struct {
	mu   sync.Mutex
	open chan struct{} // closed while it does not hang
}

func newHang() *hang {
	h := &hang{open: make(chan struct{})}
	close(h.open)
	return h
}

func (h *hang) set(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.open:
		if on {
			h.open = make(chan struct{})
		}
	default:
		if !on {
			close(h.open)
		}
	}
}

func (h *hang) wait(ctx context.Context) error {
	h.mu.Lock()
	open := h.open
	h.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l line) Resource(gvr schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	l.gr = gvr.GroupResource()
	return l
}

func (l line) Namespace(namespace string) dynamic.ResourceInterface {
	l.namespace = namespace
	return l
}

// List gives pages; the continue token is the number of objects given so far,
// which is good enough for a world that does not change between two pages.
func (l line) List(ctx context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	if err := l.hang.wait(ctx); err != nil {
		return nil, err
	}
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	l.world.lists = append(l.world.lists, opts)
	if l.world.missing[l.gr.Resource] {
		return nil, apierrors.NewNotFound(l.gr, "")
	}
	var all []*unstructured.Unstructured
	for name, object := range l.world.objects[l.gr] {
		if l.namespace == "" || l.namespace == name.namespace {
			all = append(all, object)
		}
	}
	slices.SortFunc(all, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	from, _ := strconv.Atoi(opts.Continue)
	list := &unstructured.UnstructuredList{}
	list.SetResourceVersion(strconv.FormatInt(l.world.version, 10))
	to := len(all)
	if opts.Limit > 0 && from+int(opts.Limit) < to {
		to = from + int(opts.Limit)
		list.SetContinue(strconv.Itoa(to))
	}
	for _, object := range all[from:to] {
		list.Items = append(list.Items, *object.DeepCopy())
	}
	return list, nil
}

// Watch gives the changes after a version and then bookmarks.
func (l line) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	if opts.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil) // an old server, so that pages are tested
	}
	if err := l.hang.wait(ctx); err != nil {
		return nil, err
	}
	from, err := strconv.ParseInt(opts.ResourceVersion, 10, 64)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	switch {
	case l.world.missing[l.gr.Resource]:
		return nil, apierrors.NewNotFound(l.gr, "")
	case from < l.world.compacted:
		return nil, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d", from))
	}
	out := watch.NewRaceFreeFake()
	go l.stream(ctx, out, from)
	return out, nil
}

func (l line) stream(ctx context.Context, out *watch.RaceFreeFakeWatcher, from int64) {
	defer out.Stop()
	for ctx.Err() == nil && !out.IsStopped() {
		if l.hang.wait(ctx) != nil {
			return
		}
		l.world.mu.Lock()
		var due []change
		for _, c := range l.world.changes {
			if c.version > from && c.gr == l.gr {
				due = append(due, c)
			}
		}
		from = l.world.version
		changed, missing := l.world.changed, l.world.missing[l.gr.Resource]
		l.world.mu.Unlock()
		if missing {
			return
		}
		for _, c := range due {
			out.Action(c.event, c.object.DeepCopy())
		}
		mark := &unstructured.Unstructured{Object: map[string]any{}}
		mark.SetResourceVersion(strconv.FormatInt(from, 10))
		out.Action(watch.Bookmark, mark)
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// newIndexOf starts an index of w, whose reader is on the line that hang holds.
func newIndexOf(t *testing.T, w *world, h *hang) *Index {
	t.Helper()
	metrics, err := NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	i := NewIndex(Options{
		Profiles: nuodb(t), Reader: line{world: w, hang: h}, Prover: line{world: w, hang: newHang()},
		Names:    nameLine{line: line{world: w, hang: newHang()}},
		Metadata: metadatafake.NewSimpleMetadataClient(scheme), Kinds: w, Metrics: metrics,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = i.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return i
}

// settle waits until the index has seen all that is.
func settle(t *testing.T, i *Index, w *world) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	now := w.now()
	for _, f := range i.sorted {
		settleFeed(ctx, t, f, now)
	}
}

// settleFeed waits until one feed has seen all up to now.
func settleFeed(ctx context.Context, t *testing.T, f *feed, now uint64) {
	t.Helper()
	for {
		f.mu.RLock()
		seen, advanced := f.state == stateSynced && f.applied >= now || f.state == stateAbsent, f.advanced
		f.mu.RUnlock()
		if seen {
			return
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			t.Fatalf("%s has not reached %d: %+v", f.resource(), now, f.known())
		}
	}
}

var _ runtime.Object = (*factsList)(nil)
