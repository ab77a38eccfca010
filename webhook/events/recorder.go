// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package events makes decisions known on the objects that they are about, as
// Kubernetes Events. Whoever tells of one does not wait for it: what is told
// goes into a queue, which one goroutine writes from. The garbage collector and
// others ask again for ever, so that repetitions are counted in the Event that
// is there, and what exceeds the pace is left away and counted.
package events

import (
	"cmp"
	"context"
	"unicode/utf8"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
)

const (
	// component is who reports.
	component = "holdfast"
	// queued is how many Events may wait to be written.
	queued = 1000
	// perSecond and burst are the pace of writing. In a storm of deletions a
	// few Events tell what goes on; the log and the metrics have the rest.
	perSecond, burst = 20, 100
	// burstPerObject and perObject are the pace for one object.
	burstPerObject, perObject = 10, 1. / 300
	// longest is how long the API server lets a message be.
	longest = 1024
)

// Event is something that people should find with the object.
type Event struct {
	// Object has at least the kind, name and uid; no namespace if it is
	// cluster-scoped.
	Object corev1.ObjectReference
	// Warning is for what did not go as somebody wished.
	Warning bool
	// Reason is for programs, such as DeletionRefused; Action is what was asked
	// for, such as Delete.
	Reason, Action string
	// Message is for people.
	Message string
}

// Recorder writes Events.
type Recorder struct {
	events    typedcorev1.EventsGetter
	namespace string
	instance  string
	clock     clock.PassiveClock
	metrics   *Metrics
	queue     chan Event
	// seen belongs to the goroutine that writes.
	seen *record.EventCorrelator
}

// NewRecorder writes with client, and into namespace, Holdfast's own, what
// cannot be written into that of the object. Instance is this process.
func NewRecorder(client typedcorev1.EventsGetter, namespace, instance string, metrics *Metrics) *Recorder {
	return newRecorder(client, namespace, instance, metrics, clock.RealClock{})
}

func newRecorder(client typedcorev1.EventsGetter, namespace, instance string, metrics *Metrics, clock clock.PassiveClock) *Recorder {
	return &Recorder{
		events: client, namespace: namespace, instance: cmp.Or(instance, component), clock: clock, metrics: metrics,
		queue: make(chan Event, queued),
		seen: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{
			BurstSize: burstPerObject, QPS: perObject, Clock: clock,
		}),
	}
}

// Tell returns at once. When too many wait already, first what is no warning
// and then everything is left away.
func (r *Recorder) Tell(e Event) {
	if !e.Warning && len(r.queue) > queued/2 {
		r.metrics.done(outcomeDropped)
		return
	}
	select {
	case r.queue <- e:
	default:
		r.metrics.done(outcomeDropped)
	}
}

// Start writes what is told until ctx ends.
func (r *Recorder) Start(ctx context.Context) error {
	pace := flowcontrol.NewTokenBucketRateLimiter(perSecond, burst)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			if pace.Wait(ctx) != nil {
				continue // ctx has ended
			}
			r.write(ctx, e)
		}
	}
}

// write writes one Event, or counts it in the one that is there.
func (r *Recorder) write(ctx context.Context, e Event) {
	result, err := r.seen.EventCorrelate(r.make(e))
	switch {
	case err != nil:
		r.failed(ctx, err)
		return
	case result.Skip:
		r.metrics.done(outcomeDropped)
		return
	}
	var written *corev1.Event
	// Nothing can be created in a namespace that is going, or gone.
	for _, namespace := range []string{result.Event.Namespace, r.namespace} {
		event := result.Event.DeepCopy()
		event.Namespace = namespace
		if written, err = r.put(ctx, event, result.Patch); err == nil || !leaves(err) {
			break
		}
	}
	if err != nil {
		r.failed(ctx, err)
		return
	}
	r.seen.UpdateState(written)
	r.metrics.done(outcomeWritten)
}

// put counts the event in the one that is there, or creates it.
func (r *Recorder) put(ctx context.Context, event *corev1.Event, patch []byte) (*corev1.Event, error) {
	events := r.events.Events(event.Namespace)
	if event.Count > 1 {
		written, err := events.Patch(ctx, event.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			return written, err
		}
	}
	event.ResourceVersion = "" // of the one that has expired
	return events.Create(ctx, event, metav1.CreateOptions{})
}

// leaves tells that err comes from a namespace which is going or gone.
func leaves(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err)
}

func (r *Recorder) failed(ctx context.Context, err error) {
	r.metrics.done(outcomeFailed)
	logr.FromContextOrDiscard(ctx).V(1).Info("Event not written", "why", err.Error())
}

// make is e as the API server takes it. With an eventTime it may be in another
// namespace than the object; that of a cluster-scoped object is always "default".
func (r *Recorder) make(e Event) *corev1.Event {
	now := r.clock.Now()
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name:      util.GenerateEventName(e.Object.Name, now.UnixNano()),
			Namespace: cmp.Or(e.Object.Namespace, metav1.NamespaceDefault),
		},
		InvolvedObject:      e.Object,
		Type:                kind,
		Reason:              e.Reason,
		Action:              e.Action,
		Message:             shorten(e.Message, longest),
		Source:              corev1.EventSource{Component: component},
		ReportingController: component,
		ReportingInstance:   shorten(r.instance, 128),
		EventTime:           metav1.NewMicroTime(now),
		FirstTimestamp:      metav1.NewTime(now),
		LastTimestamp:       metav1.NewTime(now),
		Count:               1,
	}
}

// shorten cuts text to at most n bytes, between characters.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const more = "..."
	n -= len(more)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + more
}
