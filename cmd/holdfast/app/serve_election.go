// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	leaseName = "holdfast"
	// A Holdfast that was killed holds its lease until it has run out, and only
	// then does another one, or its own successor, repair what is registered.
	// The times are short for that: at most leaseTime + 2.2 leaseRetry, below 5 s.
	leaseTime    = 3 * time.Second
	leaseRenewal = 2 * time.Second
	leaseRetry   = 600 * time.Millisecond
)

// election decides by a Lease which replica writes. The manager's own election
// ends the process when a lease is lost; here every replica goes on answering,
// and the one that lost stands again, because an API server that is slow for
// two seconds is no reason to stop guarding.
type election struct {
	kube      kubernetes.Interface
	namespace string
	// lead runs while this replica leads; its context ends with the lease.
	lead func(ctx context.Context)

	// ending is closed when the process is asked to end. It goes on answering
	// for a while then, but lets another one lead at once.
	ending <-chan struct{}

	working sync.Mutex
}

// Start implements manager.Runnable.
func (e *election) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-e.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name this replica: %w", err)
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.namespace, Name: leaseName},
		Client:     e.kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}
	for ctx.Err() == nil {
		if err := e.once(ctx, lock); err != nil {
			return err
		}
	}
	return nil
}

// once stands for election, leads if elected, and returns when the lease is
// lost or ctx ends. A write that is under way when the lease goes is cut off;
// should it arrive nevertheless, the next leader sees it and puts it right.
func (e *election) once(ctx context.Context, lock resourcelock.Interface) error {
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: leaseName, Lock: lock,
		LeaseDuration: leaseTime, RenewDeadline: leaseRenewal, RetryPeriod: leaseRetry,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				// Elected anew while the last term's work still ends, it waits for that.
				e.working.Lock()
				defer e.working.Unlock()
				ctrl.Log.Info("This replica leads", "lease", leaseName)
				e.lead(held)
				ctrl.Log.Info("This replica does not lead any more", "lease", leaseName)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("set up leader election: %w", err)
	}
	elector.Run(ctx)
	return nil
}
