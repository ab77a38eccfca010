// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

const (
	// barrierSeconds is the timeout of the watch. The API server sends a
	// bookmark 2 s before it, looked for once a second: with less than 3 s none
	// would ever come.
	barrierSeconds = 3
	// barrierPause is between the beginnings of two barriers. They overlap, or a
	// request that comes just after one began would wait for twice as long.
	barrierPause = 50 * time.Millisecond
	// againPause is between the watches of one barrier.
	againPause = 50 * time.Millisecond
)

// barrier proves that the table is current without reading the objects: it
// learns "now" from a consistent list and waits until every change up to then
// was applied. Its own watch brings them, or a bookmark which says that there
// are none, in case the reflector's hangs.
func (f *feed) barrier(ctx context.Context, k known, free func()) (proof, error) {
	s := f.proving(k.kind)
	now, err := s.now(ctx)
	if err != nil {
		return proof{}, fmt.Errorf("list %s: %w", f.resource(), err)
	}
	if err := f.forward(k, now); err != nil {
		return proof{}, err
	}
	timer := time.AfterFunc(barrierPause, free)
	defer timer.Stop()

	var last error
	for {
		reached, from, err := f.reached(k.epoch, now)
		if err != nil || reached {
			return proof{epoch: k.epoch}, err
		}
		err = f.catchUp(ctx, s, k.epoch, from, now)
		switch {
		case ctx.Err() != nil:
			return proof{}, f.notCurrent(cmp.Or(last, err, context.Cause(ctx)))
		case err == nil:
			continue
		case apierrors.IsNotFound(err), errors.Is(err, errChanged):
			return proof{}, err
		case tooOld(err):
			// The reflector has fallen behind what the server remembers.
			f.listAgain()
		}
		last = err
		if err := f.await(ctx, k.epoch, now, againPause); err != nil {
			return proof{}, f.notCurrent(cmp.Or(last, err))
		}
	}
}

func (f *feed) notCurrent(err error) error {
	return fmt.Errorf("make sure that no %s is missing: %w", f.resource(), err)
}

// reached tells whether every change up to now is in the table, and up to where
// they are.
func (f *feed) reached(epoch, now uint64) (reached bool, applied uint64, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.epoch != epoch || f.state != stateSynced {
		return false, 0, errChanged
	}
	return f.applied >= now, f.applied, nil
}

// progress tells whether waiting for now is over, because it is reached or the
// epoch has ended, and what is closed at the next step on the way.
func (f *feed) progress(epoch, now uint64) (advanced <-chan struct{}, done bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.advanced, f.epoch != epoch || f.applied >= now
}

// await waits for pause, or until now is reached.
func (f *feed) await(ctx context.Context, epoch, now uint64, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		advanced, done := f.progress(epoch, now)
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return nil
		case <-advanced:
		}
	}
}

// catchUp applies the changes after from until now is reached, by this watch or
// by the reflector's, or until the watch ends.
func (f *feed) catchUp(ctx context.Context, s source, epoch, from, now uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan watchOpened)
	go func() {
		// Opening may hang; the reflector may get there meanwhile.
		w, err := s.watch(ctx, metav1.ListOptions{
			ResourceVersion: fmt.Sprint(from), AllowWatchBookmarks: true, TimeoutSeconds: ptr.To[int64](barrierSeconds),
		})
		select {
		case opened <- watchOpened{w, err}:
		case <-ctx.Done():
			if err == nil {
				w.Stop()
			}
		}
	}()
	var events <-chan watch.Event
	for {
		advanced, done := f.progress(epoch, now)
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-advanced:
		case o := <-opened:
			if o.err != nil {
				return o.err
			}
			defer o.watch.Stop()
			events = o.watch.ResultChan()
		case event, ok := <-events:
			if !ok {
				return nil
			}
			if event.Type == watch.Error {
				return apierrors.FromObject(event.Object)
			}
			if err := f.apply(epoch, event.Type, event.Object); err != nil {
				return err
			}
		}
	}
}

type watchOpened struct {
	watch watch.Interface
	err   error
}
