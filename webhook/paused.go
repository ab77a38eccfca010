// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"fmt"
	"time"
)

// pausedTime is what is left of the API server's patience after a decision that
// has taken all its time.
const pausedTime = 300 * time.Millisecond

// Paused tells until when Holdfast is paused, as of now; ok is false when it is
// not. It is asked only when something would be refused, so it can afford to
// read what all replicas go by.
type Paused func(ctx context.Context) (until time.Time, ok bool)

// unlessPaused is o, or a pass with the text of the refusal as warnings while
// Holdfast is paused.
func (h *Handler) unlessPaused(ctx context.Context, o outcome) outcome {
	if o.response.Allowed || h.Paused == nil {
		return o
	}
	// What could not be decided in time passes all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pausedTime)
	defer cancel()
	until, ok := h.Paused(ctx)
	if !ok {
		return o
	}
	o.response = allow(asWarnings(fmt.Sprintf("would be refused, but Holdfast is paused until %s: %s", until.UTC().Format(time.RFC3339), o.why))...)
	o.verdict = verdictPaused
	return o
}
