// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"sync"
	"time"
)

// Outcome is how a request that a [Limiter] let through went.
type Outcome int

// The outcomes of a request.
const (
	Good    Outcome = iota // the server kept up
	Trouble                // a timeout or an overload: send less
	Neutral                // failed for a reason that says nothing about load
)

// Limiter bounds the requests in flight, and adapts the bound to what the
// server can take: one more after every growEvery good ones, half after
// trouble. Its zero value is not usable; see [NewLimiter].
type Limiter struct {
	mu       sync.Mutex
	changed  *sync.Cond
	limit    int
	most     int
	inFlight int
	good     int
	halved   time.Time
	now      func() time.Time
}

// growEvery good requests allow one more at a time.
const growEvery = 20

// halveAtMostEvery keeps one burst of timeouts, all of requests that were sent
// before the first came back, from being taken for many.
const halveAtMostEvery = 200 * time.Millisecond

// NewLimiter allows start requests at a time, and never more than most.
func NewLimiter(start, most int) *Limiter {
	l := &Limiter{limit: max(1, min(start, most)), most: max(1, most), now: time.Now}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// Acquire waits until one more request may be sent.
func (l *Limiter) Acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight < l.limit {
		l.inFlight++
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	for l.inFlight >= l.limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.changed.Wait()
	}
	if err := ctx.Err(); err != nil {
		// The wake-up may have been meant for another who waits.
		l.changed.Signal()
		return err
	}
	l.inFlight++
	return nil
}

// Release ends a request that Acquire let through.
func (l *Limiter) Release(o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	switch o {
	case Good:
		l.good++
		if l.good >= growEvery {
			l.good = 0
			l.limit = min(l.most, l.limit+1)
		}
	case Trouble:
		l.good = 0
		if now := l.now(); now.Sub(l.halved) >= halveAtMostEvery {
			l.halved = now
			l.limit = max(1, l.limit/2)
		}
	case Neutral:
	}
	if l.inFlight < l.limit {
		l.changed.Signal()
		if l.inFlight+1 < l.limit {
			l.changed.Signal()
		}
	}
}

// Limit is how many requests may be in flight now.
func (l *Limiter) Limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// InFlight is how many requests are in flight now.
func (l *Limiter) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight
}
