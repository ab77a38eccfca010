// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"math/rand/v2"
	"time"
)

// waiter waits between tries: longer each time, up to a bound, and not all at
// the same moment.
type waiter struct {
	first, most time.Duration
	after       func(time.Duration) <-chan time.Time
}

// Backoff is how a purge tries again what failed.
type Backoff struct {
	First time.Duration // before the second try; doubled each time
	Most  time.Duration
	Tries int
}

// DefaultBackoff gives a server two minutes to recover.
func DefaultBackoff() Backoff {
	return Backoff{First: 500 * time.Millisecond, Most: 30 * time.Second, Tries: 10}
}

func (b Backoff) waiter() waiter { return waiter{b.First, b.Most, time.After} }

func (w waiter) wait(ctx context.Context, attempt int) error {
	d := w.first
	for range attempt {
		d = min(2*d, w.most)
	}
	d += time.Duration(rand.Int64N(int64(d)/4 + 1)) //nolint:gosec // G404: spreading load needs no secrets
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.after(d):
		return nil
	}
}
