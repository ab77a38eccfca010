// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sample is what was measured of one thing.
type sample struct {
	took    []time.Duration
	elapsed time.Duration // while the requests ran, of all batches
}

func (s *sample) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s.took))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (s *sample) p50() time.Duration { return s.quantile(0.5) }

func (s *sample) perSecond() float64 { return float64(len(s.took)) / s.elapsed.Seconds() }

// each does one thing with all names, so many at a time, and measures each.
func each(names []string, parallel int, s *sample, do func(name string) error) error {
	work := make(chan string)
	var mu sync.Mutex
	var errs []error
	var running sync.WaitGroup
	started := time.Now()
	for range parallel {
		running.Go(func() {
			for name := range work {
				began := time.Now()
				err := do(name)
				took := time.Since(began)
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else if s != nil {
					s.took = append(s.took, took)
				}
				mu.Unlock()
			}
		})
	}
	for _, name := range names {
		work <- name
	}
	close(work)
	running.Wait()
	if s != nil {
		s.elapsed += time.Since(started)
	}
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d failed, the first with: %w", len(errs), len(names), errs[0])
	}
	return nil
}

// batches is in how many parts each measure is cut. What is compared takes
// turns with them, so that a slow moment of the machine hits all.
const batches = 12

// deletions measures the deletion of fresh objects of each kind, in turns.
func (b *bench) deletions(ctx context.Context, kinds []string, parallel int) (map[string]*sample, error) {
	samples := map[string]*sample{}
	for batch := range batches {
		for i := range kinds {
			kind := kinds[(i+batch)%len(kinds)] // nobody is always first
			if samples[kind] == nil {
				samples[kind] = &sample{}
			}
			names := b.names(max(parallel, b.size.requests/batches))
			if err := each(names, 16, nil, func(name string) error { return b.create(ctx, object(kind, name, ""), kind) }); err != nil {
				return nil, fmt.Errorf("create %s: %w", kind, err)
			}
			err := each(names, parallel, samples[kind], func(name string) error {
				return b.client.Resource(resource(kind)).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
			})
			if err != nil {
				return nil, fmt.Errorf("delete %s: %w", kind, err)
			}
		}
	}
	return samples, nil
}

var errAllowed = errors.New("a deletion went through that was to be refused")

// refusers are the kinds of which no object can be deleted.
func refusers() []string { return []string{"used", "refused", "twice"} }

// refused measures deletions that are refused, in turns.
func (b *bench) refused(ctx context.Context, parallel int) (map[string]*sample, error) {
	samples := map[string]*sample{}
	for _, kind := range refusers() {
		samples[kind] = &sample{}
	}
	for batch := range batches {
		for i := range refusers() {
			kind := refusers()[(i+batch)%len(refusers())]
			names := make([]string, max(parallel, b.size.requests/batches))
			err := each(names, parallel, samples[kind], func(string) error {
				err := b.client.Resource(resource(kind)).Namespace(namespace).Delete(ctx, "kept", metav1.DeleteOptions{})
				if err == nil {
					return errAllowed
				}
				if !apierrors.IsForbidden(err) {
					return err
				}
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("delete %s: %w", kind, err)
			}
		}
	}
	return samples, nil
}
