// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// book follows what is stored: which versions are there, and which set of each
// root is the latest. It reads metadata only, and tells the store what is there,
// so that nothing is written that another replica has written, and nothing is
// taken for stored that was removed.
type book struct {
	store *snapshot.Store
	// lost is told, by the goroutine of run, what of a UID is no longer stored:
	// a snapshot or, if set, a set of which it is the root.
	lost func(of types.UID, id string, set bool)

	mu     sync.Mutex
	synced chan struct{}
	ready  bool
	// snapshots and sets are what is stored, by name of the Secret and by UID of
	// the object.
	snapshots map[types.UID]map[string]*snapshot.Record
	sets      map[types.UID]map[string]*snapshot.SetRecord
}

func newBook(store *snapshot.Store) *book {
	return &book{
		store: store, synced: make(chan struct{}), lost: func(types.UID, string, bool) {},
		snapshots: map[types.UID]map[string]*snapshot.Record{}, sets: map[types.UID]map[string]*snapshot.SetRecord{},
	}
}

func (b *book) run(ctx context.Context) {
	done := make(chan struct{})
	list := cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return b.store.ListStored(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			return b.store.WatchStored(ctx, opts)
		},
	}
	run(ctx, "snapshots", &list, sinkStore{b, shrinkStored}, done)
	<-done
}

// shrinkStored leaves of a Secret's metadata what tells what it holds.
func shrinkStored(object any) (any, error) {
	if m, ok := object.(*metav1.PartialObjectMetadata); ok {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, Annotations: m.Annotations,
		}}, nil
	}
	return object, nil
}

func (b *book) all(objects []metav1.Object) {
	b.mu.Lock()
	before, setsBefore := b.snapshots, b.sets
	b.snapshots, b.sets = map[types.UID]map[string]*snapshot.Record{}, map[types.UID]map[string]*snapshot.SetRecord{}
	for _, of := range before {
		for _, r := range of {
			b.store.Forget(r.ID)
		}
	}
	for _, o := range objects {
		b.put(o)
	}
	if !b.ready {
		b.ready = true
		close(b.synced)
	}
	var lost []func()
	for uid, of := range before {
		for name, r := range of {
			if b.snapshots[uid][name] == nil {
				lost = append(lost, func() { b.lost(uid, r.ID, false) })
			}
		}
	}
	for uid, of := range setsBefore {
		for name, r := range of {
			if b.sets[uid][name] == nil {
				lost = append(lost, func() { b.lost(uid, r.ID, true) })
			}
		}
	}
	b.mu.Unlock()
	for _, tell := range lost {
		tell()
	}
}

func (b *book) one(object metav1.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(object)
}

func (b *book) put(object metav1.Object) {
	stored := snapshot.ReadStored(object)
	if r := stored.Snapshot; r != nil && r.Problem == "" {
		place(b.snapshots, r.UID)[object.GetName()] = r
		if r.State != snapshot.StateDeleted && r.State != snapshot.StateRestored {
			b.store.Learn(r.ID)
		}
	}
	if r := stored.Set; r != nil && r.Problem == "" {
		place(b.sets, r.UID)[object.GetName()] = r
	}
}

func place[T any](of map[types.UID]map[string]*T, uid types.UID) map[string]*T {
	if of[uid] == nil {
		of[uid] = map[string]*T{}
	}
	return of[uid]
}

func (b *book) gone(object metav1.Object) {
	stored := snapshot.ReadStored(object)
	if r := stored.Snapshot; r != nil {
		b.mu.Lock()
		b.store.Forget(r.ID)
		delete(b.snapshots[r.UID], object.GetName())
		b.mu.Unlock()
		b.lost(r.UID, r.ID, false)
	}
	if r := stored.Set; r != nil {
		b.mu.Lock()
		delete(b.sets[r.UID], object.GetName())
		b.mu.Unlock()
		b.lost(r.UID, r.ID, true)
	}
}

// records are the versions of an object that are stored, newest first.
func (b *book) records(uid types.UID) []snapshot.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	var records []snapshot.Record
	for _, r := range b.snapshots[uid] {
		records = append(records, *r)
	}
	slices.SortFunc(records, func(a, c snapshot.Record) int {
		return cmp.Or(c.LastAt().Compare(a.LastAt()), cmp.Compare(a.ID, c.ID))
	})
	return records
}

// newest is the latest version of an object that is stored.
func (b *book) newest(uid types.UID) (snapshot.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return newestOf(b.snapshots[uid])
}

func newestOf(records map[string]*snapshot.Record) (snapshot.Record, bool) {
	var newest *snapshot.Record
	for _, r := range records {
		if newest == nil || cmp.Or(r.LastAt().Compare(newest.LastAt()), cmp.Compare(newest.ID, r.ID)) > 0 {
			newest = r
		}
	}
	if newest == nil {
		return snapshot.Record{}, false
	}
	return *newest, true
}

// latestSet is the latest set of a root that is stored.
func (b *book) latestSet(root types.UID) snapshot.SetRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	var latest snapshot.SetRecord
	for _, r := range b.sets[root] {
		if latest.ID == "" || cmp.Or(r.LastAt.Compare(latest.LastAt), cmp.Compare(latest.ID, r.ID)) > 0 {
			latest = *r
		}
	}
	return latest
}

// objects are the newest records of the objects of a resource, oldest first.
func (b *book) objects(gr schema.GroupResource) []snapshot.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	var objects []snapshot.Record
	for _, of := range b.snapshots {
		if r, ok := newestOf(of); ok && r.Resource == gr.String() {
			objects = append(objects, r)
		}
	}
	slices.SortFunc(objects, func(a, c snapshot.Record) int {
		return cmp.Or(a.LastAt().Compare(c.LastAt()), cmp.Compare(a.ID, c.ID))
	})
	return objects
}

// attempted are the versions of an object that are marked as attempted since
// before a time.
func (b *book) attempted(uid types.UID, before time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, r := range b.snapshots[uid] {
		if r.State == snapshot.StateAttempted && r.StateAt.Before(before) && !r.Journal.Open() {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
