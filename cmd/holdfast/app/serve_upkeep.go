// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	// takeoverBound is when a lease that nobody renews has surely been taken over.
	takeoverBound = leaseTime + 3*leaseRetry
)

// upkeep keeps the certificate and the registration right: at the start, when
// they change, and as time passes. Every replica follows what is there; the
// leader also writes.
type upkeep struct {
	certificate  *certs.Keeper
	registration *registration.Keeper
	server       ctrlwebhook.Server
	rights       func(ctx context.Context)
	election     *election
	metrics      *upkeepMetrics
	// policies calls the function whenever one of the policies has changed.
	policies func(ctx context.Context, changed func())
	// beside is further work of the leader, until its context ends.
	beside []func(ctx context.Context)
	// ending is closed when the process is asked to end.
	ending <-chan struct{}

	toFollow, toLead chan struct{}
	done             atomic.Bool
	started          time.Time
}

func (u *upkeep) addTo(mgr ctrl.Manager) error {
	u.toFollow, u.toLead, u.started = make(chan struct{}, 1), make(chan struct{}, 1), time.Now()
	u.election.lead = u.lead
	for name, check := range map[string]func(*http.Request) error{
		"certificate": func(*http.Request) error { _, err := u.certificate.GetCertificate(nil); return err },
		"webhook":     u.server.StartedChecker(),
		"registered":  u.registered,
		"staying":     u.staying,
	} {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return err
		}
	}
	if err := mgr.AddHealthzCheck("ping", func(*http.Request) error { return nil }); err != nil {
		return err
	}
	if err := mgr.Add(everyReplica(u.election.Start)); err != nil {
		return err
	}
	return mgr.Add(everyReplica(func(ctx context.Context) error {
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
		u.policies(ctx, u.trigger)
		u.rights(ctx)
		repeat(ctx, u.toFollow, u.follow)
		return nil
	}))
}

// everyReplica is a runnable that needs no lease.
type everyReplica func(ctx context.Context) error

// Start implements manager.Runnable.
func (r everyReplica) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (r everyReplica) NeedLeaderElection() bool { return false }

// registered holds readiness back until the API server knows this webhook.
func (u *upkeep) registered(*http.Request) error {
	if u.done.Load() || time.Since(u.started) > readyBound {
		return nil
	}
	return errors.New("the webhook configuration is not applied yet")
}

// staying tells the Service not to send requests here any more.
func (u *upkeep) staying(*http.Request) error {
	select {
	case <-u.ending:
		return errors.New("this replica is ending")
	default:
		return nil
	}
}

func (u *upkeep) trigger() {
	for _, changed := range []chan struct{}{u.toFollow, u.toLead} {
		select {
		case changed <- struct{}{}:
		default: // a look is due anyway
		}
	}
}

// lead writes what is to be written, until ctx ends.
func (u *upkeep) lead(ctx context.Context) {
	u.metrics.leads.Set(1)
	defer u.metrics.leads.Set(0)
	var all sync.WaitGroup
	defer all.Wait()
	for _, work := range u.beside {
		all.Go(func() { work(ctx) })
	}
	published := false
	repeat(ctx, u.toLead, func(ctx context.Context) error {
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
			u.metrics.applied.Inc()
			ctrl.Log.Info("Webhook configuration applied")
		}
		if repaired, err = u.registration.EnsurePolicies(ctx); err != nil {
			return err
		}
		if repaired {
			ctrl.Log.Info("Admission policies applied")
		}
		if published {
			u.done.Store(true)
			return nil
		}
		if err := u.registration.PublishProfiles(ctx); err != nil {
			return err
		}
		published = true
		u.done.Store(true)
		return nil
	})
}

// follow serves the certificate that is stored, and finds out whether there is
// a registration that leads here.
func (u *upkeep) follow(ctx context.Context) error {
	if err := u.certificate.Follow(ctx); err != nil {
		return err
	}
	if u.done.Load() {
		return nil
	}
	state, err := u.registration.Look(ctx, u.certificate.CABundle())
	if err != nil {
		return err
	}
	switch {
	case state == registration.InPlace:
		u.done.Store(true)
	case state == registration.Different && time.Since(u.started) > takeoverBound:
		// By now this replica would lead if there were no other leader, which
		// has other profiles and goes on answering for them until it is replaced.
		u.done.Store(true)
	default:
		return errNotRegistered
	}
	return nil
}

var errNotRegistered = errors.New("no webhook configuration leads here yet")

// repeat does once at the start, at every change and now and then, and soon
// again after an error, until ctx ends.
func repeat(ctx context.Context, changed <-chan struct{}, once func(context.Context) error) {
	pause := retryFirst
	for ctx.Err() == nil {
		wait := checkEvery
		err := bounded(ctx, once)
		switch {
		case err == nil:
			pause = retryFirst
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNotRegistered):
			wait = retryFirst // the leader's work, and no fault yet
		default:
			ctrl.Log.Error(err, "Certificate or registration could not be put right")
			wait, pause = pause, min(2*pause, retryMost)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func bounded(ctx context.Context, once func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return once(ctx)
}
