// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// defineAgain is the pause after a kind could not be looked up, defineMost
	// the longest one.
	defineAgain = 500 * time.Millisecond
	defineMost  = 30 * time.Second
)

// follower follows the objects of one resource for as long as it is installed.
type follower struct {
	gr schema.GroupResource
	// namespace limits it to one; empty means all.
	namespace string
	definer   Definer
	client    dynamic.Interface
	// partial, if set, reads metadata only.
	partial metadata.Interface
	// into is told what is there. Nil objects in all mean that the kind is not
	// installed.
	into sink
	// shrink makes objects small before they are kept in lists.
	shrink cache.TransformFunc

	look chan struct{}
	// stop ends it; member says that it may end when no set needs it any more,
	// and idle that none did when that was looked at last.
	stop         context.CancelFunc
	member, idle bool
}

// sink is where a follower puts what it sees, in order and by one goroutine.
type sink interface {
	// all is everything that is there.
	all(objects []metav1.Object)
	// one is an object that is new or has changed.
	one(object metav1.Object)
	// gone is the last state of an object that has gone.
	gone(object metav1.Object)
}

func newFollower(gr schema.GroupResource, into sink) *follower {
	return &follower{gr: gr, into: into, look: make(chan struct{}, 1)}
}

// nudge makes it look whether the kind is still installed as it was.
func (f *follower) nudge() {
	select {
	case f.look <- struct{}{}:
	default:
	}
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	log := logf.FromContext(ctx).WithValues("resource", f.gr.String())
	var watched Kind
	stop := func() {}
	defer func() { stop() }()
	pause := defineAgain
	for ctx.Err() == nil {
		kind, installed, err := f.definer.Define(ctx, f.gr)
		var again <-chan time.Time
		switch {
		case err != nil:
			log.V(1).Info("Kind not looked up, so it is not recorded", "why", err.Error())
			again = time.After(pause)
			pause = min(2*pause, defineMost)
		case !installed:
			stop()
			stop, watched, pause = func() {}, Kind{}, defineAgain
			f.into.all(nil)
		case kind != watched:
			stop()
			stop, watched, pause = f.reflect(ctx, kind), kind, defineAgain
		}
		select {
		case <-ctx.Done():
		case <-f.look:
		case <-again:
		}
	}
}

// reflect runs a reflector until the function that it gives back is called.
func (f *follower) reflect(ctx context.Context, kind Kind) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	list := cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return f.client.Resource(kind.Resource).Namespace(f.namespace).List(ctx, opts)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			return f.client.Resource(kind.Resource).Namespace(f.namespace).Watch(ctx, opts)
		},
	}
	var from any = f.client
	if f.partial != nil {
		from = f.partial
		list = cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
				return f.partial.Resource(kind.Resource).Namespace(f.namespace).List(ctx, opts)
			},
			WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
				return f.partial.Resource(kind.Resource).Namespace(f.namespace).Watch(ctx, opts)
			},
		}
	}
	run(ctx, f.gr.String(), cache.ToListWatcherWithWatchListSemantics(&list, from), sinkStore{f.into, f.shrink}, done)
	return func() {
		cancel()
		<-done
	}
}

// run starts a reflector that closes done when it has ended.
func run(ctx context.Context, name string, from cache.ListerWatcher, into sinkStore, done chan struct{}) {
	log := logf.FromContext(ctx).WithValues("resource", name)
	reflector := cache.NewReflectorWithOptions(from, nil, into, cache.ReflectorOptions{
		Name: "recorder of " + name, TypeDescription: name,
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Cap: defineMost, Steps: 10, Factor: 2, Jitter: 0.2},
	})
	go func() {
		defer close(done)
		reflector.RunWithContext(klog.NewContext(ctx, logr.Discard()))
		log.V(1).Info("Recording of a kind ended")
	}()
}

// sinkStore is a sink as a reflector wants it.
type sinkStore struct {
	into   sink
	shrink cache.TransformFunc
}

var _ cache.TransformingStore = sinkStore{}

// Transformer implements cache.TransformingStore.
func (s sinkStore) Transformer() cache.TransformFunc { return s.shrink }

func (s sinkStore) read(object any) (metav1.Object, error) {
	if s.shrink != nil {
		small, err := s.shrink(object)
		if err != nil {
			return nil, err
		}
		object = small
	}
	return meta.Accessor(object)
}

// Add implements cache.ReflectorStore.
func (s sinkStore) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s sinkStore) Update(object any) error {
	o, err := s.read(object)
	if err == nil {
		s.into.one(o)
	}
	return err
}

// Delete implements cache.ReflectorStore.
func (s sinkStore) Delete(object any) error {
	o, err := s.read(object)
	if err == nil {
		s.into.gone(o)
	}
	return err
}

// Replace implements cache.ReflectorStore.
func (s sinkStore) Replace(objects []any, _ string) error {
	all := make([]metav1.Object, 0, len(objects))
	for _, object := range objects {
		o, err := s.read(object)
		if err != nil {
			return err
		}
		all = append(all, o)
	}
	s.into.all(all)
	return nil
}

// Resync implements cache.ReflectorStore; there is nobody to tell again.
func (s sinkStore) Resync() error { return nil }
