// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"

	"github.com/holdfast-dev/holdfast/config/api/v1alpha1"
	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

const (
	// settle is how long a set waits for further changes, settleNames when only
	// who refers to its root has changed.
	settle      = 300 * time.Millisecond
	settleNames = 3 * time.Second
	// workers is how many objects, and how many sets, are worked on at a time.
	workers = 4
	// lookAt is how often what is in memory is looked at, which asks nobody.
	lookAt = 5 * time.Second
)

// Recorder keeps what is guarded saved. Its fields are required but Metrics and
// Now.
type Recorder struct {
	Profiles *profile.Set
	Store    *snapshot.Store
	// From reads what belongs to objects; its Followed is set by New.
	From    *Live
	Kube    kubernetes.Interface
	Definer Definer
	Metrics *Metrics
	Now     func() time.Time

	// Sets takes sets, also for others who know what is stored by this recorder.
	Sets *Sets

	book       *book
	references []*references
	versions   workqueue.TypedRateLimitingInterface[types.UID]
	sets       workqueue.TypedRateLimitingInterface[types.UID]
	ends       workqueue.TypedRateLimitingInterface[types.UID]

	mu        sync.Mutex
	roots     map[types.UID]*root
	named     map[profile.Name]types.UID
	ended     map[types.UID]ended
	synced    map[schema.GroupResource]bool
	followers map[profile.Place]*follower
	following sync.WaitGroup
}

// New is a recorder of what profiles guard.
func New(profiles *profile.Set, store *snapshot.Store, from *Live, kube kubernetes.Interface, definer Definer) *Recorder {
	r := &Recorder{
		Profiles: profiles, Store: store, From: from, Kube: kube, Definer: definer, Metrics: nopMetrics(), Now: time.Now,
		book:  newBook(store),
		roots: map[types.UID]*root{}, named: map[profile.Name]types.UID{}, ended: map[types.UID]ended{},
		synced: map[schema.GroupResource]bool{}, followers: map[profile.Place]*follower{},
	}
	r.Sets = &Sets{Profiles: profiles, Store: store, From: from, Latest: r.book.latestSet}
	for _, g := range profiles.Resources() {
		for _, m := range g.Closure {
			if _, guarded := profiles.Guarded(m.Resource); m.Referring != nil && m.NamesOnly && !guarded {
				r.references = append(r.references, &references{member: m, of: g.Resource, changed: r.renamed})
			}
		}
	}
	from.Followed = r.followed
	r.book.lost = r.lost
	for _, q := range []*workqueue.TypedRateLimitingInterface[types.UID]{&r.versions, &r.sets, &r.ends} {
		*q = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](100*time.Millisecond, 30*time.Second))
	}
	return r
}

// followed answers from memory who refers to an object by name only.
func (r *Recorder) followed(m profile.Member, target profile.Name) ([]profile.Found, bool) {
	for _, refs := range r.references {
		if refs.of == target.Resource && refs.member.Resource == m.Resource && refs.member.Referring.String() == m.Referring.String() {
			return refs.who(target)
		}
	}
	return nil, false
}

// Start records until ctx ends.
func (r *Recorder) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer r.following.Wait()
	all.Go(func() { r.book.run(ctx) })
	select {
	case <-r.book.synced: // what is stored must be known before anything counts as missing
	case <-ctx.Done():
		return nil
	}
	for range workers {
		all.Go(func() { work(ctx, r.versions, r.saveVersions) })
		all.Go(func() { work(ctx, r.sets, r.takeSet) })
		all.Go(func() { work(ctx, r.ends, r.confirm) })
	}
	for _, g := range r.Profiles.Resources() {
		if g.Snapshot != v1alpha1.SnapshotNone {
			r.follow(ctx, profile.Place{Resource: g.Resource}, &guardedSink{r, g}, nil)
		}
	}
	for _, refs := range r.references {
		f := newFollower(refs.member.Resource, refs)
		f.client, f.definer, f.shrink = r.From.Client, r.Definer, refs.shrink
		r.start(ctx, profile.Place{Resource: refs.member.Resource, Prefix: refs.member.Referring.String() + refs.of.String()}, f)
	}
	r.follow(ctx, profile.Place{Resource: profile.CRDResource()}, &memberSink{r, profile.CRDResource()}, shrinkMember)
	r.watchMemory(ctx)
	for _, q := range []workqueue.TypedRateLimitingInterface[types.UID]{r.versions, r.sets, r.ends} {
		q.ShutDown()
	}
	return nil
}

// follow starts to follow a place until ctx, that of Start, ends, if that is not
// done yet. With a shrink, only metadata is read.
func (r *Recorder) follow(ctx context.Context, at profile.Place, into sink, shrink func(any) (any, error)) {
	f := newFollower(at.Resource, into)
	f.client, f.namespace, f.definer, f.shrink = r.From.Client, at.Namespace, r.Definer, shrink
	if shrink != nil {
		f.partial = r.From.Metadata
	}
	r.start(ctx, at, f)
}

func (r *Recorder) start(ctx context.Context, at profile.Place, f *follower) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.followers[at] != nil || ctx.Err() != nil {
		return
	}
	r.followers[at] = f
	ctx, f.stop = context.WithCancel(ctx)
	r.following.Go(func() {
		defer f.stop()
		f.run(ctx)
	})
}

// shrinkMember leaves of metadata what tells whether an object belongs to a set.
func shrinkMember(object any) (any, error) {
	if m, ok := object.(*metav1.PartialObjectMetadata); ok {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, OwnerReferences: m.OwnerReferences,
		}}, nil
	}
	return object, nil
}

// work does what is in a queue until ctx ends; what fails is done again later.
func work(ctx context.Context, q workqueue.TypedRateLimitingInterface[types.UID], do func(context.Context, types.UID) error) {
	stop := context.AfterFunc(ctx, q.ShutDown)
	defer stop()
	for {
		uid, down := q.Get()
		if down {
			return
		}
		if err := do(ctx, uid); err != nil && ctx.Err() == nil {
			q.AddRateLimited(uid)
		} else {
			q.Forget(uid)
		}
		q.Done(uid)
	}
}

// watchMemory looks now and then at what is in memory, until ctx ends.
func (r *Recorder) watchMemory(ctx context.Context) {
	tick := time.NewTicker(lookAt)
	defer tick.Stop()
	for {
		r.count()
		r.findKept(ctx)
		r.stopIdle()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
