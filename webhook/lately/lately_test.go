// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package lately

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
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
		{name: "soon after it is remembered", after: For - slack - 4*time.Millisecond, ask: v.Get, want: 1},
		{name: "its age is that of its beginning", after: slack + 4*time.Millisecond, ask: v.Get, want: 2},
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

// Nobody waits while the next answer is read, and none gets older than For.
func TestReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const took = 20 * time.Millisecond
		reads, fault := 0, error(nil)
		v := &Value[int]{Read: func(ctx context.Context) (int, error) {
			reads++
			n := reads
			<-time.After(took)
			return n, errors.Join(fault, ctx.Err())
		}}
		get := func(want int, wait time.Duration) {
			t.Helper()
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel() // who began to read ahead does not wait for it
			got, err := v.Get(ctx)
			if got != want || err != nil || time.Since(began) != wait {
				t.Fatalf("got %d, %v after %s, want %d after %s", got, err, time.Since(began), want, wait)
			}
		}
		get(1, took)
		<-time.After(For - 2*took - slack - took - 1)
		get(1, 0)
		synctest.Wait()
		if reads != 1 {
			t.Fatal("read ahead too early")
		}
		<-time.After(1)
		get(1, 0) // which begins to read
		<-time.After(took - 1)
		get(1, 0) // and is the only one
		<-time.After(1)
		synctest.Wait()
		get(2, 0)

		fault = errors.New("away")
		<-time.After(For - took) // since it began to read
		get(2, 0)
		<-time.After(took)
		synctest.Wait()
		fault = nil
		get(4, took) // the one that failed counts for nothing
		if reads != 4 {
			t.Errorf("read %d times", reads)
		}
	})
}
