// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package operators

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/config/release"
	"github.com/holdfast-dev/holdfast/webhook/guard"
)

const (
	// lookAgain is the pause after a look that failed, and lookAnyway how often
	// there is one without a change.
	lookAgain  = time.Second
	lookAnyway = time.Minute
)

// Follower knows under which names the operators make requests. It looks again
// when a Deployment or a definition has changed.
type Follower struct {
	Profiles  *profile.Set
	Operators guard.Operators
	Metadata  metadata.Interface
	// Changed is called when the answer of Users has changed.
	Changed func()

	mu    sync.Mutex
	users map[*profile.Operator][]string
}

var _ guard.Operators = (*Follower)(nil)

// Users are the names of the operators of each profile; known is false while
// those of some operator are not known.
func (f *Follower) Users(name string) (users []string, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	operators := f.Profiles.OperatorsOf(name)
	all := map[string]bool{}
	known = len(operators) > 0
	for _, op := range operators {
		known = known && len(f.users[op]) > 0
		for _, user := range f.users[op] {
			all[user] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), known
}

// Of implements guard.Operators by asking anew.
func (f *Follower) Of(ctx context.Context, op *profile.Operator) (guard.OperatorState, error) {
	return f.Operators.Of(ctx, op)
}

// Going implements guard.Operators.
func (f *Follower) Going(ctx context.Context, gr schema.GroupResource) (bool, error) {
	return f.Operators.Going(ctx, gr)
}

// Recall is the users of op as they were last seen. That is enough to know an
// operator by, and not enough to deny that somebody is one.
func (f *Follower) Recall(op *profile.Operator) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[op]
}

// Start follows until ctx ends.
func (f *Follower) Start(ctx context.Context) error {
	if len(f.Profiles.Operators()) == 0 {
		<-ctx.Done()
		return nil
	}
	look := make(chan struct{}, 1)
	wake := func() {
		select {
		case look <- struct{}{}:
		default: // it looks anyway
		}
	}
	for _, gvr := range []schema.GroupVersionResource{definitions, appsv1.SchemeGroupVersion.WithResource("deployments")} {
		f.watch(ctx, gvr, wake)
	}
	for ctx.Err() == nil {
		next := lookAnyway
		if !f.look(ctx) {
			next = lookAgain
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-look:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// look asks about every operator. One that nothing can be said about keeps the
// users that it had.
func (f *Follower) look(ctx context.Context) (all bool) {
	log := logr.FromContextOrDiscard(ctx)
	all = true
	changed := false
	for _, op := range f.Profiles.Operators() {
		state, err := f.Operators.Of(ctx, op)
		if err != nil {
			log.V(1).Info("Operator not looked up", "profile", op.Profile, "why", err.Error())
			all = false
			continue
		}
		f.mu.Lock()
		if f.users == nil {
			f.users = map[*profile.Operator][]string{}
		}
		// A release that is away may come back under the same names.
		if len(state.Users) > 0 && !slices.Equal(f.users[op], state.Users) {
			f.users[op] = state.Users
			changed = true
		}
		f.mu.Unlock()
	}
	if changed {
		f.Changed()
	}
	return all
}

// watch calls wake at every change that may concern an operator.
func (f *Follower) watch(ctx context.Context, gvr schema.GroupVersionResource, wake func()) {
	informer := metadatainformer.NewFilteredMetadataInformer(f.Metadata, gvr, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	_ = informer.SetTransform(marksOnly)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() },
		UpdateFunc: func(before, after any) {
			if !reflect.DeepEqual(concern(before), concern(after)) {
				wake()
			}
		},
		DeleteFunc: func(any) { wake() },
	})
	if err != nil {
		return // only after the informer has been stopped
	}
	go informer.RunWithContext(ctx)
}

// marksOnly leaves what tells whose an object is; the rest would fill the memory.
func marksOnly(object any) (any, error) {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	slim := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: meta.Namespace, Name: meta.Name, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		Generation: meta.Generation, DeletionTimestamp: meta.DeletionTimestamp,
	}}
	for key, value := range map[string]string{
		release.NameAnnotation: meta.Annotations[release.NameAnnotation], release.NamespaceAnnotation: meta.Annotations[release.NamespaceAnnotation],
		argoTracking: meta.Annotations[argoTracking],
		argoLabel:    meta.Labels[argoLabel], instanceLabel: meta.Labels[instanceLabel], managedBy: meta.Labels[managedBy],
	} {
		if value != "" {
			metav1.SetMetaDataAnnotation(&slim.ObjectMeta, key, value)
		}
	}
	return slim, nil
}

// concern is an object without the version that every write changes.
func concern(object any) any {
	meta, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object
	}
	slim := *meta
	slim.ResourceVersion = ""
	return slim
}
