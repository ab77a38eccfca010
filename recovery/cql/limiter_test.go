// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLimiterAdapts(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	l := NewLimiter(8, 10)
	l.now = func() time.Time { return now }
	request := func(o Outcome) {
		if err := l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.Release(o)
	}
	for range 20 {
		request(Good)
	}
	if l.Limit() != 9 {
		t.Errorf("after 20 good requests the limit is %d, want 9", l.Limit())
	}
	for range 100 {
		request(Good)
	}
	if l.Limit() != 10 {
		t.Errorf("the limit grew to %d, past 10", l.Limit())
	}
	now = now.Add(time.Second)
	request(Trouble)
	request(Trouble)
	if l.Limit() != 5 {
		t.Errorf("after one burst of trouble the limit is %d, want half: 5", l.Limit())
	}
	for range 5 {
		now = now.Add(time.Second)
		request(Trouble)
	}
	if l.Limit() != 1 {
		t.Errorf("the limit is %d, want 1: it must never be none", l.Limit())
	}
	request(Neutral)
	if l.Limit() != 1 || l.InFlight() != 0 {
		t.Errorf("limit %d and %d in flight, want 1 and 0", l.Limit(), l.InFlight())
	}
}

func TestLimiterBounds(t *testing.T) {
	t.Parallel()
	l := NewLimiter(4, 4)
	var now, peak atomic.Int64
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			if err := l.Acquire(t.Context()); err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			now.Add(-1)
			l.Release(Neutral)
		})
	}
	wait.Wait()
	if peak.Load() > 4 {
		t.Errorf("%d at a time, want at most 4", peak.Load())
	}
}

func TestLimiterStopsWaiting(t *testing.T) {
	t.Parallel()
	l := NewLimiter(1, 1)
	if err := l.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- l.Acquire(ctx) }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want canceled", err)
	}
	l.Release(Good)
	if err := l.Acquire(t.Context()); err != nil {
		t.Errorf("after the one who gave up, nobody gets in: %v", err)
	}
}
