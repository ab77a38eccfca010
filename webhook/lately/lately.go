// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package lately spares reads of what hardly ever changes: that nothing speaks
// against a refusal is remembered for a moment, so that many refusals in a row
// ask the API server once.
package lately

import (
	"context"
	"sync"
	"time"
)

const (
	// For is how long the answer of a read is used. Whoever changes what is read
	// waits as long, and all replicas know of the change then.
	For = 100 * time.Millisecond
	// slack is by how much a read that is made ahead is to be early.
	slack      = 10 * time.Millisecond
	aheadLimit = time.Second
)

// Value is what Read gave lately. It must not be copied once it is used.
type Value[T any] struct {
	Read func(ctx context.Context) (T, error)
	// Now is the clock; time.Now when nil.
	Now func() time.Time

	mu      sync.Mutex
	last    T
	at      time.Time
	took    time.Duration
	reading sync.Mutex // held by who reads ahead
}

// Get is what Read gave when it began at most For ago, and otherwise gives now.
// Those who come while it reads wait for it. An error is not remembered.
func (v *Value[T]) Get(ctx context.Context) (T, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if age := v.now().Sub(v.at); age >= 0 && age <= For {
		// Nobody should have to wait for the next one, as long as there are some
		// who ask.
		if age+2*v.took+slack >= For && v.reading.TryLock() {
			go v.readAhead(context.WithoutCancel(ctx))
		}
		return v.last, nil
	}
	return v.read(ctx)
}

// Fresh is what Read gives now.
func (v *Value[T]) Fresh(ctx context.Context) (T, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read(ctx)
}

// readAhead reads while the last answer is still used. Without an answer, that
// one grows old, and who comes then reads.
func (v *Value[T]) readAhead(ctx context.Context) {
	defer v.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, aheadLimit)
	defer cancel()
	began := v.now()
	value, err := v.Read(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil && began.After(v.at) {
		v.keep(value, began)
	}
}

func (v *Value[T]) keep(value T, began time.Time) {
	v.last, v.at, v.took = value, began, v.now().Sub(began)
}

func (v *Value[T]) read(ctx context.Context) (T, error) {
	began := v.now()
	value, err := v.Read(ctx)
	if err != nil {
		v.at = time.Time{}
		return value, err
	}
	v.keep(value, began)
	return value, nil
}

func (v *Value[T]) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}
