// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// beat is how often a run gives a sign of life.
	beat = 5 * time.Second
	// patience is how old the last one may be before another run takes over.
	patience = 30 * time.Second
)

// Journal is the journal of a recovery that this process works on.
type Journal struct {
	// Recorded, if set, is told of every record once it is written: the name of
	// a step and whether it has "begun" or "ended", and "aside", "back",
	// "remembered" or "closed" with what they are about.
	Recorded func(record, what string)

	keeper *Keeper
	name   string
	stop   context.CancelCauseFunc
	quit   chan struct{}
	beats  sync.WaitGroup

	mu      sync.Mutex
	state   *State
	version string
}

// Open takes up the journal of an operation on target, or begins it; command is
// the command line that finishes it. The context that it gives back ends when
// another run takes over. A *BusyError says that another run is at work.
func (k *Keeper) Open(ctx context.Context, operation, target, command string) (*Journal, context.Context, error) {
	j := &Journal{keeper: k, name: name(operation, target), quit: make(chan struct{})}
	var err error
	if j.state, j.version, err = k.load(ctx, j.name); err != nil {
		return nil, nil, err
	}
	now := k.now()
	switch s := j.state; {
	case !s.Open():
		j.state = &State{Operation: operation, Target: target, Begun: now}
	case s.Holder != (Holder{}) && s.Holder != k.Self && now.Sub(s.Seen) < patience && !s.Holder.dead(k.Self):
		return nil, nil, &BusyError{Operation: operation, Target: target, Holder: s.Holder, Since: s.Since, Seen: s.Seen}
	}
	err = j.write(ctx, func(s *State) { s.Command, s.Holder, s.Since, s.Seen = command, k.Self, now, now })
	if errors.Is(err, errChanged) {
		return nil, nil, fmt.Errorf("begin the %s of %s: another run began at the same moment; run the command again", operation, target)
	}
	if err != nil {
		return nil, nil, err
	}
	working, stop := context.WithCancelCause(ctx)
	j.stop = stop
	j.beats.Add(1)
	go j.live(working)
	return j, working, nil
}

func (k *Keeper) now() time.Time { return k.Now().UTC().Truncate(time.Millisecond) }

// live gives signs of life until the journal is closed.
func (j *Journal) live(ctx context.Context) {
	defer j.beats.Done()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-j.quit:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			// What cannot be written now is written with the next beat or record.
			_ = j.write(ctx, func(*State) {})
		}
	}
}

// write changes the state and writes it. Another run's writing ends this one.
func (j *Journal) write(ctx context.Context, change func(*State)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := j.state.clone()
	change(next)
	next.Revision++
	if next.Holder == j.keeper.Self {
		next.Seen = j.keeper.now()
	}
	version, err := j.keeper.save(ctx, j.name, next, j.version)
	if errors.Is(err, errChanged) && j.stop != nil {
		err = fmt.Errorf("journal of the %s of %s: %w", next.Operation, next.Target, err)
		j.stop(err)
	}
	if err != nil {
		return err
	}
	j.state, j.version = next, version
	return nil
}

func (j *Journal) record(ctx context.Context, kind, what string, change func(*State)) error {
	if err := j.write(ctx, change); err != nil {
		return err
	}
	if j.Recorded != nil {
		j.Recorded(kind, what)
	}
	return nil
}

// Did says that a step was ended, by this run or an earlier one.
func (j *Journal) Did(step string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.state.step(step)
	return s != nil && !s.Ended.IsZero()
}

// Began says that a step was begun, and so may have been done.
func (j *Journal) Began(step string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.step(step) != nil
}

// Do does a step unless it was done. It may have been begun: do must find that out.
func (j *Journal) Do(ctx context.Context, step string, do func(context.Context) error) error {
	if j.Did(step) {
		return nil
	}
	if !j.Began(step) {
		err := j.record(ctx, "begun", step, func(s *State) {
			s.Steps = append(s.Steps, Step{Name: step, Begun: j.keeper.now()})
		})
		if err != nil {
			return err
		}
	}
	if err := do(ctx); err != nil {
		return err
	}
	return j.record(ctx, "ended", step, func(s *State) { s.step(step).Ended = j.keeper.now() })
}

// Remember keeps value under key. What is kept so already is not written again.
func (j *Journal) Remember(ctx context.Context, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("remember %s: %w", key, err)
	}
	j.mu.Lock()
	same := bytes.Equal(j.state.Data[key], text)
	j.mu.Unlock()
	if same {
		return nil
	}
	return j.record(ctx, "remembered", key, func(s *State) { s.Data[key] = text })
}

// Recall reads what was kept under key into value, and says whether there was anything.
func (j *Journal) Recall(key string, value any) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text, ok := j.state.Data[key]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(text, value); err != nil {
		return false, fmt.Errorf("recall %s: %w", key, err)
	}
	return true, nil
}

// SetAside records what something was, before it is changed for the duration.
// What is recorded already, and not put back yet, keeps its first record.
func (j *Journal) SetAside(ctx context.Context, a Aside) error {
	if slices.ContainsFunc(j.Aside(), func(b Aside) bool { return b.same(&a) }) {
		return nil
	}
	return j.record(ctx, "aside", a.Resource+"/"+a.Name, func(s *State) {
		s.Aside = append(slices.DeleteFunc(s.Aside, func(b Aside) bool { return b.same(&a) }), a)
	})
}

// Aside is what is to be put back, what was changed last first.
func (j *Journal) Aside() []Aside {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []Aside
	for _, a := range slices.Backward(j.state.Aside) {
		if !a.Back {
			all = append(all, a)
		}
	}
	return all
}

// PutBack records that a is as it was.
func (j *Journal) PutBack(ctx context.Context, a Aside) error {
	return j.record(ctx, "back", a.Resource+"/"+a.Name, func(s *State) {
		for i := range s.Aside {
			if s.Aside[i].same(&a) {
				s.Aside[i].Back = true
			}
		}
	})
}

// Close records that nothing is left to do.
func (j *Journal) Close(ctx context.Context) error {
	j.rest()
	err := j.record(ctx, "closed", "", func(s *State) { s.Ended, s.Holder, s.Data = j.keeper.now(), Holder{}, nil })
	if err == nil && j.version != "" {
		j.keeper.dropFile(j.name)
	}
	return err
}

// Leave stops the work in an orderly way; the next run need not wait. What went
// wrong before is more important than whether this could be written.
func (j *Journal) Leave(ctx context.Context) {
	j.rest()
	_ = j.write(context.WithoutCancel(ctx), func(s *State) { s.Holder = Holder{} })
}

// rest ends the signs of life.
func (j *Journal) rest() {
	select {
	case <-j.quit:
	default:
		close(j.quit)
	}
	j.beats.Wait()
}
