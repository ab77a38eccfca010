// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The ways to prove that nothing is missing, as metrics name them.
const (
	byDefinition = "definition"
	byList       = "list"
	byBarrier    = "barrier"
	bySelector   = "selector"
)

// attempts bounds how often a proof follows a kind whose definition changes.
const attempts = 3

// known is a feed's knowledge when a proof began.
type known struct {
	state   state
	kind    Definition
	epoch   uint64
	applied uint64
	objects int
}

func (f *feed) known() known {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return known{state: f.state, kind: f.kind, epoch: f.epoch, applied: f.applied, objects: f.table.len()}
}

// prove shows that every reference that objects of this kind held when it was
// called is in the feed's table, or that there is no such kind.
func (f *feed) prove(ctx context.Context) (proof, error) {
	return f.rounds.join(ctx, f.round)
}

func (f *feed) round(ctx context.Context, free func()) (proof, error) {
	started := time.Now()
	p, method, err := f.show(ctx, free)
	f.metrics.proved(method, err, time.Since(started))
	return p, err
}

func (f *feed) show(ctx context.Context, free func()) (proof, string, error) {
	for range attempts {
		k := f.known()
		if k.state == stateUnknown || k.state == stateAbsent {
			kind, installed, err := f.definer.Define(ctx, f.resource())
			if err != nil || !installed {
				return proof{absent: err == nil}, byDefinition, err
			}
			// It came this moment: its feed need not have noticed.
			f.begin(kind)
			f.nudge()
			k = f.known()
		}
		p, method, err := f.showInstalled(ctx, k, free)
		if !apierrors.IsNotFound(err) && !errors.Is(err, errChanged) {
			return p, method, err
		}
		// Only a second look can tell "no such kind" from "elsewhere now".
		kind, installed, err := f.definer.Define(ctx, f.resource())
		switch {
		case err != nil:
			return proof{}, byDefinition, err
		case !installed:
			f.nudge()
			return proof{absent: true}, byDefinition, nil
		case kind.Resource == k.kind.Resource && f.known().epoch == k.epoch:
			f.nudge()
			return proof{}, method, fmt.Errorf("list %s: its definition is there but it is not served yet; try again in a moment", f.resource())
		}
		f.begin(kind)
		f.nudge()
	}
	return proof{}, byDefinition, fmt.Errorf("read %s: %w", f.resource(), errChanged)
}

func (f *feed) showInstalled(ctx context.Context, k known, free func()) (proof, string, error) {
	if k.state == stateSynced && k.objects > pageSize {
		p, err := f.barrier(ctx, k, free)
		return p, byBarrier, err
	}
	p, whole, err := f.list(ctx, k)
	if whole || err != nil {
		return p, byList, err
	}
	if k.state != stateSynced {
		return proof{}, byList, f.notRead()
	}
	p, err = f.barrier(ctx, k, free)
	return p, byBarrier, err
}

// notRead says why a large kind is not known yet.
func (f *feed) notRead() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.failure != nil {
		return fmt.Errorf("read %s: %w", f.resource(), f.failure)
	}
	return fmt.Errorf("read %s: its objects are being read for the first time; try again in a moment", f.resource())
}

// list proves by one page, if that is all there is. The list is a consistent
// read, first of versions alone, and what it shows goes into the table.
func (f *feed) list(ctx context.Context, k known) (p proof, whole bool, err error) {
	s, opts := f.proving(k.kind), metav1.ListOptions{Limit: pageSize}
	if k.state == stateSynced && f.names != nil {
		found, err := f.versions(ctx, s, k)
		if err != nil || found.current || !found.whole {
			return proof{epoch: k.epoch}, found.whole, err
		}
		// At least as new as that; the API server has it and need not wait.
		opts.ResourceVersion, opts.ResourceVersionMatch = found.version, metav1.ResourceVersionMatchNotOlderThan
	}
	page, err := s.promptPage(ctx, "", opts)
	if err != nil {
		return proof{}, false, fmt.Errorf("list %s: %w", f.resource(), err)
	}
	if page.Continue != "" {
		return proof{}, false, nil
	}
	version, err := parseVersion(f.resource(), page.ResourceVersion)
	if err != nil {
		return proof{}, false, err
	}
	if err := f.forward(k, version); err != nil {
		return proof{}, false, err
	}
	return proof{epoch: k.epoch}, true, f.replace(k.epoch, page.Items, version)
}

// forward finds that time went back, as when a backup of etcd was restored:
// what is known then is of a past that did not happen.
func (f *feed) forward(k known, version uint64) error {
	if version >= k.applied {
		return nil
	}
	f.mu.Lock()
	if f.epoch == k.epoch {
		f.forget(stateSyncing)
		f.restart = true
	}
	f.mu.Unlock()
	f.nudge()
	return fmt.Errorf("read %s: the API server went back from version %d to %d, so all is read anew; try again in a moment", f.resource(), k.applied, version)
}
