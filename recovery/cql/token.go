// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"math"
	"math/bits"
)

// Range is the part (Start, End] of the ring of Murmur3 tokens. No key has the
// token math.MinInt64, so the ranges of [Ring] hold every key.
type Range struct{ Start, End int64 }

// FullRing holds every key.
func FullRing() Range { return Range{math.MinInt64, math.MaxInt64} }

// Ring divides the whole ring into n contiguous ranges of the same width.
func Ring(n int) []Range {
	ranges := make([]Range, n)
	for i := range ranges {
		ranges[i] = RingRange(i, n)
	}
	return ranges
}

// RingRange is the range i of n, as [Ring] has it, without the others.
func RingRange(i, n int) Range {
	return Range{ringBound(i, n), ringBound(i+1, n)}
}

func ringBound(i, n int) int64 {
	if i >= n {
		return math.MaxInt64
	}
	// i * 2^64 / n, moved so that the first bound is the smallest token.
	q, _ := bits.Div64(uint64(i), 0, uint64(n)) //nolint:gosec // G115: counts are not negative
	return int64(q ^ 1<<63)                     //nolint:gosec // G115: the wrap around is what moves the bound
}

// Width is the number of tokens in the range.
func (r Range) Width() uint64 {
	return uint64(r.End) - uint64(r.Start) //nolint:gosec // G115: the difference of two's complements is right
}

// Split divides the range into n contiguous ones; fewer when it is too narrow.
func (r Range) Split(n int) []Range {
	width := r.Width()
	if width < uint64(n) { //nolint:gosec // G115: n is a small positive count
		n = int(width) //nolint:gosec // G115: smaller than n
	}
	if n < 2 {
		return []Range{r}
	}
	ranges := make([]Range, n)
	start := r.Start
	for i := range ranges {
		hi, lo := bits.Mul64(width, uint64(i+1))
		q, _ := bits.Div64(hi, lo, uint64(n))
		end := int64(uint64(r.Start) + q) //nolint:gosec // G115: as above
		ranges[i] = Range{start, end}
		start = end
	}
	return ranges
}

// Order is the order in which to visit n ranges: bit reversed, so that
// neighbours, which one node often owns, are far apart in time.
func Order(n int) []int {
	if n <= 0 {
		return nil
	}
	width := bits.Len(uint(n - 1))
	order := make([]int, 0, n)
	for i := range 1 << width {
		j := int(bits.Reverse(uint(i)) >> (bits.UintSize - width))
		if width == 0 {
			j = 0
		}
		if j < n {
			order = append(order, j)
		}
	}
	return order
}
