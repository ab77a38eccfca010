// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package rescue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// waitLimit is how long is waited for what the API server and its
	// controllers do by themselves, personLimit for what somebody has to do.
	waitLimit, personLimit = 5 * time.Minute, time.Hour
	// webhookLimit is for a webhook to answer that has just been started.
	webhookLimit = time.Minute
	// look is how often is looked whether it has happened, tellEvery how often told.
	look, tellEvery = 200 * time.Millisecond, time.Second
)

// errInVain means that what was waited for did not happen in time.
var errInVain = errors.New("run the command again when that is mended")

// pending is what is waited for.
type pending struct {
	step, what string
	limit      time.Duration
	// ready says whether it has happened, and if not, what it looks like. An
	// error ends the waiting.
	ready func(context.Context) (bool, string, error)
}

// wait waits until p is ready, and tells every second for how long it does.
func (r *Rescue) wait(ctx context.Context, p pending) error {
	begun, told := r.Recovery.Now(), time.Duration(0)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		ready, state, err := p.ready(ctx)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", p.what, err)
		}
		waited := r.Recovery.Now().Sub(begun)
		if ready {
			return nil
		}
		if waited >= p.limit {
			return fmt.Errorf("waited %s for %s in vain: %s; %w", waited.Round(time.Second), p.what, state, errInVain)
		}
		if waited-told >= tellEvery {
			told = waited
			r.Tell(Event{Step: p.step, Text: p.what + ": " + state, Waited: waited})
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted while waiting for %s: %w; run the command again", p.what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
