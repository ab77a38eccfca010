// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/holdfast-dev/holdfast/certs"
	"github.com/holdfast-dev/holdfast/webhook/registration"
)

const (
	// checkEvery is how often the certificate's age is looked at.
	checkEvery = time.Hour
	// retryFirst and retryMost bound the pauses between tries that fail.
	retryFirst = 100 * time.Millisecond
	retryMost  = 2 * time.Second
	// readyBound is how long readiness waits for the first registration.
	// After it the process answers whatever reaches it.
	readyBound = 15 * time.Second
)

// upkeep keeps the certificate and the registration right: at the start, when
// they change, and as time passes.
type upkeep struct {
	certificate  *certs.Keeper
	registration *registration.Keeper
	server       ctrlwebhook.Server
	rights       func(ctx context.Context)

	changed chan struct{}
	done    atomic.Bool
	started time.Time
}

var _ manager.Runnable = (*upkeep)(nil)

func (u *upkeep) addTo(mgr ctrl.Manager) error {
	u.changed, u.started = make(chan struct{}, 1), time.Now()
	for name, check := range map[string]func(*http.Request) error{
		"certificate": func(*http.Request) error { _, err := u.certificate.GetCertificate(nil); return err },
		"webhook":     u.server.StartedChecker(),
		"registered":  u.registered,
	} {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return err
		}
	}
	if err := mgr.AddHealthzCheck("ping", func(*http.Request) error { return nil }); err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		for _, obj := range []client.Object{&admissionregistrationv1.ValidatingWebhookConfiguration{}, &corev1.Secret{}} {
			informer, err := mgr.GetCache().GetInformer(ctx, obj)
			if err != nil {
				return err
			}
			if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
				AddFunc:    func(any) { u.trigger() },
				UpdateFunc: func(any, any) { u.trigger() },
				DeleteFunc: func(any) { u.trigger() },
			}); err != nil {
				return err
			}
		}
		return u.Start(ctx)
	}))
}

// registered holds readiness back until the API server knows this webhook.
func (u *upkeep) registered(*http.Request) error {
	if u.done.Load() || time.Since(u.started) > readyBound {
		return nil
	}
	return errors.New("the webhook configuration is not applied yet")
}

func (u *upkeep) trigger() {
	select {
	case u.changed <- struct{}{}:
	default: // a look is due anyway
	}
}

// Start implements manager.Runnable.
func (u *upkeep) Start(ctx context.Context) error {
	u.rights(ctx)
	pause := retryFirst
	for ctx.Err() == nil {
		wait := checkEvery
		if err := u.once(ctx); err != nil {
			ctrl.Log.Error(err, "Certificate or registration could not be put right")
			wait, pause = pause, min(2*pause, retryMost)
		} else {
			pause = retryFirst
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-u.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

func (u *upkeep) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := u.certificate.Ensure(ctx); err != nil {
		return err
	}
	// Registered before it listens, a webhook would refuse everything.
	if err := u.server.StartedChecker()(nil); err != nil {
		return err
	}
	repaired, err := u.registration.Ensure(ctx, u.certificate.CABundle())
	if err != nil {
		return err
	}
	if repaired {
		ctrl.Log.Info("Webhook configuration applied")
	}
	if !u.done.Load() {
		if err := u.registration.PublishProfiles(ctx); err != nil {
			return err
		}
		u.done.Store(true)
	}
	return nil
}
