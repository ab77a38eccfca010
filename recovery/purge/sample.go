// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Estimate is how many partitions there are, with what a sample can say.
type Estimate struct {
	Count  int64  `json:"count"`
	Low    int64  `json:"low"` // the ends of a 95 % interval
	High   int64  `json:"high"`
	Exact  bool   `json:"exact"`
	Failed string `json:"unknown,omitempty"` // why there is no estimate
}

func exactly(n int64) Estimate { return Estimate{Count: n, Low: n, High: n, Exact: true} }

// Sample is what a sample of a table tells about its partitions, in all and by
// interface.
type Sample struct {
	windows []window
	exact   bool
	failed  error
}

// window is what was read after one token.
type window struct {
	span   float64 // the part of the ring that was read, in tokens
	keys   int
	full   bool // the window ended for the number of its keys, not of the ring
	counts map[cql.UUID]int
}

// A table of fewer partitions than countAll is counted, others are sampled.
const (
	countAll       = 4000
	sampleWindows  = 96
	keysPerWindow  = 128
	sampleInFlight = 16
)

// sampleTable samples a table by its partition key; byInterface tells that the
// key holds the interface's id.
func sampleTable(ctx context.Context, db Database, t cql.Table, key []string, byInterface bool) Sample {
	reader := sampler{db: db, byInterface: byInterface}
	column := key[:1]
	if byInterface {
		column = []string{columnInterface}
	}
	reader.text = cql.SelectSample(t, key, column)
	if db.Scylla() {
		reader.text = cql.BypassCache(reader.text)
	}
	first, err := reader.read(ctx, math.MinInt64, countAll)
	if err != nil {
		return Sample{failed: err}
	}
	if !first.full {
		return Sample{windows: []window{first}, exact: true}
	}
	windows := make([]window, sampleWindows)
	errs := make([]error, sampleWindows)
	limit := cql.NewLimiter(sampleInFlight, sampleInFlight)
	var wait sync.WaitGroup
	for i := range windows {
		if err := limit.Acquire(ctx); err != nil {
			return Sample{failed: err}
		}
		wait.Go(func() {
			windows[i], errs[i] = reader.read(ctx, cql.RingRange(i, sampleWindows).Start, keysPerWindow)
			limit.Release(cql.Neutral)
		})
	}
	wait.Wait()
	var s Sample
	for i, w := range windows {
		if errs[i] != nil {
			s.failed = errs[i]
			continue
		}
		s.windows = append(s.windows, w)
	}
	if len(s.windows) >= sampleWindows/2 {
		s.failed = nil
	}
	return s
}

type sampler struct {
	db          Database
	text        string
	byInterface bool
}

func (s sampler) read(ctx context.Context, start int64, limit int) (window, error) {
	w := window{counts: map[cql.UUID]int{}}
	rows := s.db.Rows(ctx, cql.Statement{Text: s.text, Values: []any{start, limit}, Consistency: cql.Quorum, PageSize: min(limit, pageRows)})
	var token int64
	var id cql.UUID
	for rows.Scan(&token, &id) {
		w.keys++
		if s.byInterface {
			w.counts[id]++
		}
	}
	if err := rows.Close(); err != nil {
		return window{}, err
	}
	w.full = w.keys == limit
	end := int64(math.MaxInt64)
	if w.full {
		end = token
	}
	w.span = float64(cql.Range{Start: start, End: end}.Width())
	return w, nil
}

// Total is how many partitions the table has.
func (s Sample) Total() Estimate {
	return s.estimate(func(w window) int { return w.keys })
}

// Of is how many partitions of the table are an interface's.
func (s Sample) Of(id cql.UUID) Estimate {
	return s.estimate(func(w window) int { return w.counts[id] })
}

func (s Sample) estimate(hits func(window) int) Estimate {
	if s.failed != nil {
		return Estimate{Failed: fmt.Sprintf("cannot be sampled: %v", s.failed)}
	}
	var sum, span float64
	for _, w := range s.windows {
		sum += float64(hits(w))
		span += w.span
	}
	if s.exact {
		return exactly(int64(sum))
	}
	if span == 0 {
		return Estimate{}
	}
	// A ratio estimate: hits per token, over all tokens; its variance from how
	// much the windows differ.
	density := sum / span
	var squares float64
	for _, w := range s.windows {
		d := float64(hits(w)) - density*w.span
		squares += d * d
	}
	n := float64(len(s.windows))
	deviation := math.Sqrt(n/max(1, n-1)*squares) / span
	scale := func(d float64) int64 { return int64(math.Round(max(0, d) * ringTokens)) }
	return Estimate{Count: scale(density), Low: scale(density - 1.96*deviation), High: scale(density + 1.96*deviation)}
}
