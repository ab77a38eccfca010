// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package lately

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestValue(t *testing.T) {
	clock := time.Unix(0, 0)
	reads, fault := 0, error(nil)
	v := &Value[int]{Now: func() time.Time { return clock }, Read: func(context.Context) (int, error) {
		reads++
		clock = clock.Add(time.Millisecond) // reading takes time
		return reads, fault
	}}
	steps := []struct {
		name  string
		after time.Duration
		fault error
		ask   func(context.Context) (int, error)
		want  int
	}{
		{name: "the first reads", ask: v.Get, want: 1},
		{name: "soon after it is remembered", after: For - time.Millisecond, ask: v.Get, want: 1},
		{name: "its age is that of its beginning", after: time.Millisecond, ask: v.Get, want: 2},
		{name: "fresh always reads", ask: v.Fresh, want: 3},
		{name: "and what it read is remembered", ask: v.Get, want: 3},
		{name: "an error is told", after: For, fault: errors.New("away"), ask: v.Get, want: 4},
		{name: "and not remembered", ask: v.Get, want: 5},
		{name: "a clock that is set back makes nothing young", after: -time.Hour, ask: v.Get, want: 6},
	}
	for _, s := range steps {
		clock, fault = clock.Add(s.after), s.fault
		got, err := s.ask(t.Context())
		if !errors.Is(err, s.fault) || got != s.want {
			t.Errorf("%s: got %d, %v, want %d, %v", s.name, got, err, s.want, s.fault)
		}
	}
}
