// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/holdfast-dev/holdfast/webhook"
	"github.com/holdfast-dev/holdfast/webhook/lately"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

// pausedBy tells until when Holdfast is paused, by what all replicas go by.
// That it is not paused may have been true a moment ago only (lately.For).
func pausedBy(kube kubernetes.Interface) webhook.Paused {
	read := &lately.Value[registration.Pause]{Read: func(ctx context.Context) (registration.Pause, error) {
		return registration.ReadPause(ctx, kube, time.Now)
	}}
	return func(ctx context.Context) (time.Time, bool) {
		pause, err := read.Get(ctx)
		if err == nil && !pause.Until.IsZero() {
			pause, err = read.Fresh(ctx)
		}
		// What cannot be read is not paused.
		return pause.Until, err == nil && !pause.Until.IsZero()
	}
}

// known waits until every replica goes by what has just been written.
func known(ctx context.Context) {
	timer := time.NewTimer(lately.For)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pauseWatch makes known that Holdfast is paused, in the log and as a metric,
// and wakes the upkeep when a pause ends.
type pauseWatch struct {
	wake func()

	mu    sync.Mutex
	pause registration.Pause
	timer *time.Timer
}

// followPause watches what is registered for a pause.
func followPause(mgr ctrl.Manager, registry prometheus.Registerer, wake func()) error {
	w := &pauseWatch{wake: wake}
	err := registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_paused",
		Help: "1 while Holdfast is paused and refuses nothing, else 0.",
	}, w.value))
	if err != nil {
		return err
	}
	return mgr.Add(everyReplica(func(ctx context.Context) error {
		informer, err := mgr.GetCache().GetInformer(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{})
		if err != nil {
			return err
		}
		note := func(object any) {
			if config, ok := object.(metav1.Object); ok {
				w.note(config.GetAnnotations(), time.Now())
			}
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: note, UpdateFunc: func(_, object any) { note(object) }, DeleteFunc: func(any) { w.note(nil, time.Now()) },
		})
		if err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}))
}

// note takes in what is registered now.
func (w *pauseWatch) note(annotations map[string]string, now time.Time) {
	pause, paused := registration.PauseOf(annotations, now)
	w.mu.Lock()
	defer w.mu.Unlock()
	if pause == w.pause {
		return
	}
	switch {
	case paused:
		ctrl.Log.Info("Holdfast is paused and refuses nothing", "until", timestamp(pause.Until), "by", pause.By, "reason", pause.Reason)
	default:
		ctrl.Log.Info("Holdfast is not paused any more")
	}
	w.pause = pause
	if w.timer != nil {
		w.timer.Stop()
	}
	if paused {
		// Whoever leads puts back what was paused; that change is noted in turn.
		w.timer = time.AfterFunc(pause.Until.Sub(now), w.wake)
	}
}

func (w *pauseWatch) value() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.pause.Until) {
		return 1
	}
	return 0
}
