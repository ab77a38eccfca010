// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"time"
)

const (
	// lookAgain is how often the definition of a kind is looked up when nothing
	// tells of a change, as for kinds that no definition announces.
	lookAgain = 30 * time.Second
	// lookRarely is the same for a kind whose definition is followed: in case
	// that something was missed all the same.
	lookRarely = 10 * time.Minute
	lookTime   = 10 * time.Second
)

func (f *feed) define(ctx context.Context) (Definition, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return f.definer.Define(ctx, f.resource())
}

func (f *feed) wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-f.wake:
	case <-timer.C:
	}
}

// pauseOf is how long nobody looks whether a kind is still as it was.
func (f *feed) pauseOf(kind Definition) time.Duration {
	if kind.Announced && f.definitions.Load() {
		return lookRarely
	}
	return lookAgain
}
