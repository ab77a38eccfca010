// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"sync"
	"time"
)

// rounds shares proofs among requests. A request joins the round that has not
// begun yet: one that has may have taken its "now" before the request began,
// and would prove nothing about what was committed in between.
type rounds struct {
	mu   sync.Mutex
	next *round
	busy bool
}

type round struct {
	ended chan struct{}
	proof proof
	err   error
}

// proof says what a round has shown of a kind.
type proof struct {
	// epoch is the one in which the table is current.
	epoch uint64
	// absent tells that the kind is not installed.
	absent bool
	// table is used instead of the feed's, if not nil.
	table *table
}

// proveFunc does one round. It calls free as soon as the next one may begin,
// which happens at the latest when it returns.
type proveFunc func(ctx context.Context, free func()) (proof, error)

// join waits for the next round, which is begun when the way is free.
func (r *rounds) join(ctx context.Context, do proveFunc) (proof, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = &round{ended: make(chan struct{})}
	}
	mine := r.next
	r.begin(ctx, do)
	r.mu.Unlock()
	select {
	case <-mine.ended:
		return mine.proof, mine.err
	case <-ctx.Done():
		return proof{}, context.Cause(ctx)
	}
}

// begin starts the next round if none is in the way; the caller holds the lock.
func (r *rounds) begin(ctx context.Context, do proveFunc) {
	if r.busy || r.next == nil {
		return
	}
	mine := r.next
	r.next, r.busy = nil, true
	// Others wait for it too, so it must not end with the request that began it.
	ctx = context.WithoutCancel(ctx)
	free := sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
		r.begin(ctx, do)
	})
	go func() {
		defer free()
		defer close(mine.ended)
		bounded, cancel := context.WithTimeout(ctx, proofTime)
		defer cancel()
		mine.proof, mine.err = do(bounded, free)
	}()
}

// proofTime is how long a proof may take. It is below the time of a decision,
// so that the reason of a failure still gets through.
const proofTime = 4 * time.Second
