// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// retryPause is the longest pause after a failure.
const retryPause = 5 * time.Second

// state is what is known of a kind.
type state string

const (
	stateUnknown state = "unknown" // nothing was read yet
	stateAbsent  state = "absent"  // not installed
	stateSyncing state = "syncing" // being read for the first time
	stateSynced  state = "synced"  // all of it as of one version
)

// feed keeps the table of one kind up to date. Several streams of events may
// feed it at once: the reflector's and those of barriers.
type feed struct {
	plan    *kindPlan
	definer Definer
	// reader is for the reflector; prover, on connections of its own, for proofs.
	reader, prover dynamic.Interface
	names          metadata.Interface
	reconnect      func()
	metrics        *Metrics
	rounds         rounds
	wake           chan struct{}
	// definitions says whether definitions are followed at this moment.
	definitions *atomic.Bool
	refreshed   atomic.Int64 // when a refusal last made it catch up, in ns

	mu    sync.RWMutex
	state state
	kind  Definition
	table *table
	// epoch rises whenever what is known is thrown away. What was read or
	// proved in another one says nothing about this one.
	epoch uint64
	// applied is a version up to which every change is in the table: the order
	// of streams does not matter then (see the package).
	applied  uint64
	advanced chan struct{} // closed when applied or epoch rises
	restart  bool          // the reflector is to list again
	listing  bool          // it was told so and has not done it yet
	failure  error         // why it cannot be read now
}

func newFeed(plan *kindPlan, o Options) *feed {
	return &feed{
		plan: plan, definer: o.Kinds, reader: o.Reader, prover: o.Prover, names: o.Names, reconnect: o.Reconnect, metrics: o.Metrics, definitions: &atomic.Bool{},
		wake: make(chan struct{}, 1), state: stateUnknown, table: newTable(plan), advanced: make(chan struct{}),
	}
}

// proving reads objects for somebody who waits.
func (f *feed) proving(kind Definition) source {
	return source{plan: f.plan, client: f.prover, kind: kind, reconnect: f.reconnect}
}

func (f *feed) resource() schema.GroupResource { return f.plan.resource }

// nudge makes the feed look whether its kind is still as it was.
func (f *feed) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run follows the kind until ctx ends.
func (f *feed) run(ctx context.Context) {
	pause := retryPause / 50
	for ctx.Err() == nil {
		kind, installed, err := f.define(ctx)
		switch {
		case err != nil:
			f.failed(ctx, err)
			f.wait(ctx, pause)
			pause = min(2*pause, retryPause)
			continue
		case !installed:
			f.gone()
			f.wait(ctx, lookAgain)
		default:
			f.follow(ctx, kind)
		}
		pause = retryPause / 50
	}
}

// follow reads the kind until it is no longer defined like that.
func (f *feed) follow(ctx context.Context, kind Definition) {
	epoch := f.begin(kind)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from := source{plan: f.plan, client: f.reader, kind: kind, told: func(err error) { f.told(ctx, epoch, err) }}
	reflector := cache.NewReflectorWithOptions(from.listerWatcher(), nil, feedStore{f, epoch}, cache.ReflectorOptions{
		Name: "usage of " + f.resource().String(), TypeDescription: f.resource().String(),
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Cap: retryPause, Steps: 10, Factor: 2, Jitter: 0.2},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		reflector.RunWithContext(klog.NewContext(ctx, logr.Discard())) // the feed tells of what goes wrong
	}()
	for ctx.Err() == nil {
		f.wait(ctx, f.pauseOf(kind))
		if f.mustRestart(epoch) {
			break
		}
		// An error leaves it as it is: the reflector meets it too.
		if now, installed, err := f.define(ctx); err == nil && (!installed || !reflect.DeepEqual(now, kind)) {
			break
		}
	}
	cancel()
	<-done
}

func (f *feed) mustRestart(epoch uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	restart := f.restart || f.epoch != epoch
	f.restart = false
	return restart
}

// listAgain makes the reflector start over; what is known stays. Once told, it
// is not disturbed until it has a list: barriers come faster than that.
func (f *feed) listAgain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.listing {
		f.restart, f.listing = true, true
		f.nudge()
	}
}

// begin prepares for reading kind and gives the epoch to do so in. In another
// version the objects may name other things, so all is read anew then.
func (f *feed) begin(kind Definition) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == stateUnknown || f.state == stateAbsent || f.kind.Resource != kind.Resource {
		f.forget(stateSyncing)
	}
	f.kind = kind
	return f.epoch
}

// gone notes that the kind is not installed.
func (f *feed) gone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != stateAbsent {
		f.forget(stateAbsent)
	}
	f.failure = nil
}

// forget throws away what is known; the caller holds the lock.
func (f *feed) forget(next state) {
	f.metrics.edges.Sub(float64(f.table.edges))
	f.table, f.applied, f.state, f.failure, f.listing = newTable(f.plan), 0, next, nil, false
	f.epoch++
	f.announce()
}

func (f *feed) announce() {
	close(f.advanced)
	f.advanced = make(chan struct{})
}

// told takes note of how the reflector fares.
func (f *feed) told(ctx context.Context, epoch uint64, err error) {
	if err != nil {
		f.failed(ctx, err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == epoch {
		f.failure = nil
	}
}

// failed notes why the kind cannot be read, and tells of it once.
func (f *feed) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // it was told to end
	}
	f.mu.Lock()
	known := f.failure != nil && f.failure.Error() == err.Error()
	f.failure = err
	f.mu.Unlock()
	if !known && !tooOld(err) {
		logf.FromContext(ctx).Info("Referring kind cannot be read; until it can, nothing that it may refer to can be deleted", "resource", f.resource().String(), "reason", err.Error())
	}
	if apierrors.IsNotFound(err) {
		f.nudge()
	}
}

// replace puts in all objects as of a version. What is known may be newer; then
// the list tells nothing new.
func (f *feed) replace(epoch uint64, all []*facts, version uint64) error {
	// Filled before the lock is taken: a large one takes a second.
	t := newTable(f.plan)
	for _, one := range all {
		t.set(one)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != epoch {
		return errChanged
	}
	f.failure, f.listing = nil, false
	if f.state == stateSynced && version <= f.applied {
		return nil
	}
	f.metrics.edges.Add(float64(t.edges - f.table.edges))
	f.table, f.applied, f.state = t, version, stateSynced
	f.announce()
	return nil
}

// apply puts in one event of a stream without gaps.
func (f *feed) apply(epoch uint64, kind watch.EventType, object runtime.Object) error {
	version, err := versionOf(f.resource(), object)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != epoch {
		return errChanged
	}
	f.failure = nil
	if f.state != stateSynced || version <= f.applied {
		return nil
	}
	before := f.table.edges
	one, isFacts := object.(*facts)
	switch {
	case kind == watch.Bookmark:
	case !isFacts:
		// A stream with a hole would make every later event a lie.
		f.forget(stateSyncing)
		f.restart = true
		f.nudge()
		return fmt.Errorf("read an event of %s: unexpected object of type %T", f.resource(), object)
	case kind == watch.Deleted:
		f.table.remove(objectName{one.namespace, one.name})
	default:
		f.table.set(one)
	}
	f.metrics.edges.Add(float64(f.table.edges - before))
	f.applied = version
	f.announce()
	return nil
}

var errChanged = errors.New("its definition changed meanwhile; try again in a moment")
