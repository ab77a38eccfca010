// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/webhook/approvals"
	"github.com/holdfast-dev/holdfast/webhook/fence"
	"github.com/holdfast-dev/holdfast/webhook/instances"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

const (
	// fenceEvery is how often the fences are worked out while something that
	// they depend on cannot be followed, fenceRarely otherwise.
	fenceEvery  = 5 * time.Second
	fenceRarely = 10 * time.Minute
	// fencePause lies between two times; a thousand new instances a second must
	// not become as many writes.
	fencePause = 100 * time.Millisecond
	// fenceCount is how old the numbers may be that a refusal tells of.
	fenceCount = 5 * time.Second
)

// fencing is the leader's work of keeping the parameters of the fence right.
type fencing struct {
	fence        *fence.Fence
	registration *registration.Keeper
	kube         kubernetes.Interface
	// approvals for releases open their fences.
	approvals *approvals.Releases
	// counts tells what exists of a resource, if that is followed.
	counts  func(gr schema.GroupResource) (objects map[string]int, known bool)
	changed chan struct{}
	// recounting says that a look is due because of numbers alone.
	recounting atomic.Bool
}

// newFencing counts instances by holders.
func newFencing(o *serveOptions, u *upkeep, live *instances.Live, holders *instances.Holders) *fencing {
	kube := u.registration.Kube
	f := &fencing{registration: u.registration, kube: kube, counts: holders.Count, changed: make(chan struct{}, 1)}
	f.fence = &fence.Fence{Profiles: o.set}
	facts := fence.Live{Metadata: live.Metadata, CRDs: live.Definitions, Counts: holders.Count, Instances: live}
	f.fence.Definitions, f.fence.Instances = facts, facts
	f.fence.Dropped = &fence.Releases{Reader: release.Reader{Kube: kube}, Metadata: live.Metadata, Changed: f.trigger}
	f.approvals = &approvals.Releases{Client: live.Client, Now: time.Now, Changed: f.trigger}
	f.fence.Approved = func(key release.Key) bool { return f.approvals.Approved(key.Namespace, key.Name) }
	holders.Counted = f.counted
	return f
}

func (f *fencing) trigger() {
	select {
	case f.changed <- struct{}{}:
	default: // a look is due anyway
	}
}

// counted triggers at once when a fence may have to open or close, and in a
// while when only what it says of how many there are is old.
func (f *fencing) counted(news bool) {
	switch {
	case news:
		f.trigger()
	case f.recounting.CompareAndSwap(false, true):
		time.AfterFunc(fenceCount, func() {
			f.recounting.Store(false)
			f.trigger()
		})
	}
}

// lead keeps the parameters right until ctx ends.
func (f *fencing) lead(ctx context.Context) {
	ctx = logr.NewContext(ctx, ctrl.Log.WithName("fence"))
	followNamed(ctx, f.kube, registration.FenceName, f.trigger, func(i informers.SharedInformerFactory) toolscache.SharedIndexInformer {
		return i.Core().V1().ConfigMaps().Informer()
	}, informers.WithNamespace(f.registration.Options.Namespace))
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() {
		if err := f.approvals.Start(ctx); err != nil {
			ctrl.Log.Error(err, "Approvals for releases not followed, so they do not open a fence")
		}
	})
	pause := time.NewTicker(fencePause)
	defer pause.Stop()
	for ctx.Err() == nil {
		if err := f.once(ctx); err != nil && ctx.Err() == nil {
			ctrl.Log.Error(err, "Fence could not be put right; it stays as it is")
		}
		select {
		case <-ctx.Done():
		case <-f.changed:
		case <-time.After(f.every()):
		}
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// every is how long nothing need be looked at unless it is known to have changed.
func (f *fencing) every() time.Duration {
	for gr := range f.fence.Profiles.Fencing() {
		if _, known := f.counts(gr); !known {
			return fenceEvery
		}
	}
	return fenceRarely
}

func (f *fencing) once(lease context.Context) error {
	return bounded(lease, func(ctx context.Context) error {
		fences, err := f.fence.Fences(ctx, lease)
		if err != nil {
			return err
		}
		changed, err := f.registration.EnsureFence(ctx, fences)
		if err != nil {
			return err
		}
		if changed {
			var ids []string
			for _, fence := range fences {
				ids = append(ids, fence.ID)
			}
			ctrl.Log.Info("Fence written", "releases", ids)
		}
		return nil
	})
}
