// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"sync"

	"golang.org/x/time/rate"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// deleter sends deletes of single partitions, many at a time. Each can be
// repeated without harm: its timestamp is fixed.
type deleter struct {
	db      Writer
	level   cql.Consistency
	backoff Backoff
	limiter *cql.Limiter
	rate    *rate.Limiter
}

// deletions are deletes that are waited for together.
type deletions struct {
	d    *deleter
	wait sync.WaitGroup
	mu   sync.Mutex
	done int64
	err  error
}

func (d *deleter) begin() *deletions { return &deletions{d: d} }

// add sends a delete, and waits only until it may be sent.
func (g *deletions) add(ctx context.Context, text string, values ...any) error {
	if err := g.failed(); err != nil {
		return err
	}
	if err := g.d.rate.Wait(ctx); err != nil {
		return contextError(ctx, err)
	}
	if err := g.d.limiter.Acquire(ctx); err != nil {
		return err
	}
	g.wait.Go(func() {
		err := g.d.exec(ctx, cql.Statement{Text: text, Values: values, Consistency: g.d.level})
		g.mu.Lock()
		defer g.mu.Unlock()
		if err == nil {
			g.done++
		} else if g.err == nil {
			g.err = err
		}
	})
	return nil
}

// contextError prefers the reason of the context: a rate limiter that would
// have to wait past a deadline gives one of its own.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (g *deletions) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// end waits for all deletes, and tells how many succeeded and the first error.
func (g *deletions) end() (int64, error) {
	g.wait.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done, g.err
}

// exec sends a statement for which a place in flight was taken, and gives the
// place back. It tries again what can succeed later.
func (d *deleter) exec(ctx context.Context, st cql.Statement) error {
	for attempt := 0; ; attempt++ {
		err := d.db.Exec(ctx, st)
		d.limiter.Release(outcome(err))
		if err == nil || !cql.KindOf(err).Retriable() || attempt+1 >= d.backoff.Tries {
			return err
		}
		if err := d.backoff.waiter().wait(ctx, attempt); err != nil {
			return err
		}
		if err := d.limiter.Acquire(ctx); err != nil {
			return err
		}
	}
}
