// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// scanner works through ranges of the ring, several at a time, as many as the
// servers can take; what fails it asks again later, for less.
type scanner struct {
	limiter *cql.Limiter
	backoff Backoff
	now     func() time.Time

	// generation counts the errors so far: a partition that is read again after
	// one may be in the backup already.
	generation atomic.Int64

	mu     sync.Mutex
	paused time.Time
}

// Bounds of the concurrency of scans: a node takes a few at a time.
const (
	scansPerNode       = 2
	mostScansPerNode   = 16
	scyllaScansPerNode = 8 // the driver does not tell how many shards a node has
	mostScyllaPerNode  = 24
)

func newScanner(db Server, nodes int, b Backoff) *scanner {
	start, most := nodes*scansPerNode, nodes*mostScansPerNode
	if db.Scylla() {
		start, most = nodes*scyllaScansPerNode, nodes*mostScyllaPerNode
	}
	return &scanner{limiter: cql.NewLimiter(max(start, 4), max(most, 8)), backoff: b, now: time.Now}
}

// How far a range is taken apart before it counts as failed. A range of
// smallestWidth tokens holds one partition at most, but for tables of more than
// 2^40 partitions.
const (
	smallestPage      = 78
	smallestWidth     = 1 << 20
	mostTimeoutSplits = 4
	triesOfSplit      = 3
)

// rangeWork reads one range with pages of a size. It is called again for the
// same range after an error; what it counted before the error stands. What it
// began and need not be read for, such as deletes, is waited for by finish,
// which may be nil: meanwhile another range is read.
type rangeWork func(ctx context.Context, r cql.Range, page int) (counts rangeCounts, finish finishRange, err error)

type finishRange func() (rangeCounts, error)

// rangeJob is one pass over a part of the ring.
type rangeJob struct {
	share  cql.Range // the part
	splits int       // into how many ranges it is divided
	page   int
	done   *rangeMap // nil: nothing is remembered
	work   rangeWork
	after  func() // called after each range, may be nil
	// whole leaves ranges that cannot be read for their tombstones as they are:
	// the caller has another way before they are taken apart.
	whole bool
	// splitsLeft bounds how often one range is taken apart: with trouble in all
	// of its parts, ever smaller ones would never end.
	splitsLeft *int
}

// rangeFailure is a range that could not be read.
type rangeFailure struct {
	Range cql.Range
	Err   error
}

// run does the job. Ranges that cannot be read are returned as failures, and
// the others are done all the same; an error means that the job stopped.
func (s *scanner) run(ctx context.Context, job rangeJob) ([]rangeFailure, error) {
	ranges := job.share.Split(job.splits)
	order := cql.Order(len(ranges))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex
	var failures []rangeFailure
	var wait sync.WaitGroup
	for range min(len(ranges), mostWorkers) {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(order) {
					return
				}
				failed, err := s.one(ctx, job, ranges[order[i]], order[i])
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				failures = append(failures, failed...)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	err := context.Cause(ctx)
	if job.done != nil {
		err = errors.Join(err, job.done.Save())
	}
	return failures, err
}

// mostWorkers is how many ranges can be begun; the limiter says how many
// of them ask at a time.
const mostWorkers = 256

func (s *scanner) one(ctx context.Context, job rangeJob, r cql.Range, i int) ([]rangeFailure, error) {
	if job.done != nil && job.done.Has(i) {
		return nil, nil
	}
	counts, failed, err := s.process(ctx, job.bounded(), r, 0)
	if err != nil {
		if job.done != nil {
			job.done.Add(counts)
		}
		return nil, err
	}
	if job.done != nil {
		if len(failed) > 0 {
			job.done.Add(counts)
		} else if err := job.done.Set(i, counts); err != nil {
			return nil, err
		}
	}
	if job.after != nil {
		job.after()
	}
	return failed, nil
}

// process works on a range until it is done, taken apart, or given up.
func (s *scanner) process(ctx context.Context, job rangeJob, r cql.Range, depth int) (counts rangeCounts, failed []rangeFailure, err error) {
	tries := s.backoff.Tries
	if depth > 0 {
		tries = min(tries, triesOfSplit)
	}
	for attempt := 0; ; attempt++ {
		c, err := s.attempt(ctx, job, r)
		counts.add(c)
		if err == nil {
			return counts, nil, nil
		}
		kind := cql.KindOf(err)
		last := attempt+1 >= tries
		switch {
		case kind == cql.KindTombstones && !job.whole && job.mayBisect(r),
			kind == cql.KindTimeout && job.page <= smallestPage && depth < mostTimeoutSplits && job.mayBisect(r):
			c, failed, err := s.bisect(ctx, job, r, depth)
			counts.add(c)
			return counts, failed, err
		case kind == cql.KindTombstones, kind == cql.KindTimeout && last:
			return counts, []rangeFailure{{r, err}}, nil
		case !kind.Retriable() || last:
			return counts, nil, err
		case kind == cql.KindTimeout:
			job.page = max(job.page/4, smallestPage)
		}
		if kind == cql.KindUnavailable {
			s.pause(s.backoff.First)
		}
		if err := s.backoff.waiter().wait(ctx, attempt); err != nil {
			return counts, nil, err
		}
	}
}

// mostBisections is enough to find two partitions in a range.
const mostBisections = 100

func (j rangeJob) bounded() rangeJob {
	j.splitsLeft = new(mostBisections)
	return j
}

func (j rangeJob) mayBisect(r cql.Range) bool {
	return r.Width() > smallestWidth && *j.splitsLeft > 0
}

func (s *scanner) bisect(ctx context.Context, job rangeJob, r cql.Range, depth int) (counts rangeCounts, failed []rangeFailure, err error) {
	*job.splitsLeft--
	for _, half := range r.Split(2) {
		c, f, err := s.process(ctx, job, half, depth+1)
		counts.add(c)
		failed = append(failed, f...)
		if err != nil {
			return counts, failed, err
		}
	}
	return counts, failed, nil
}

func (s *scanner) attempt(ctx context.Context, job rangeJob, r cql.Range) (rangeCounts, error) {
	if err := s.unpaused(ctx); err != nil {
		return rangeCounts{}, err
	}
	if err := s.limiter.Acquire(ctx); err != nil {
		return rangeCounts{}, err
	}
	c, finish, err := job.work(ctx, r, job.page)
	s.limiter.Release(outcome(err))
	if finish != nil {
		rest, failed := finish()
		c.add(rest)
		if err == nil {
			err = failed
		}
	}
	if err != nil {
		s.generation.Add(1)
	}
	return c, err
}

// outcome is what an error says about the load of the servers.
func outcome(err error) cql.Outcome {
	if err == nil {
		return cql.Good
	}
	switch cql.KindOf(err) {
	case cql.KindTimeout, cql.KindOverloaded, cql.KindUnavailable, cql.KindConnection:
		return cql.Trouble
	default:
		return cql.Neutral
	}
}

// pause lets no worker begin a request for a while: replicas are down, and more
// requests would not bring them back.
func (s *scanner) pause(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.now().Add(d); until.After(s.paused) {
		s.paused = until
	}
}

func (s *scanner) unpaused(ctx context.Context) error {
	s.mu.Lock()
	d := s.paused.Sub(s.now())
	s.mu.Unlock()
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (f rangeFailure) String() string {
	return fmt.Sprintf("tokens (%d, %d]: %v", f.Range.Start, f.Range.End, f.Err)
}
