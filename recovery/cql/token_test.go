// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"math"
	"slices"
	"testing"
)

func TestRingIsWholeAndContiguous(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 7, 64, 1000, 262144} {
		ranges := Ring(n)
		if len(ranges) != n || ranges[0].Start != math.MinInt64 || ranges[n-1].End != math.MaxInt64 {
			t.Fatalf("Ring(%d) runs from %d to %d in %d ranges", n, ranges[0].Start, ranges[n-1].End, len(ranges))
		}
		for i := 1; i < n; i++ {
			if ranges[i].Start != ranges[i-1].End {
				t.Fatalf("Ring(%d): range %d begins at %d, the one before ends at %d", n, i, ranges[i].Start, ranges[i-1].End)
			}
		}
		if i := n / 2; RingRange(i, n) != ranges[i] {
			t.Errorf("RingRange(%d, %d) = %v, want %v", i, n, RingRange(i, n), ranges[i])
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		r    Range
		n    int
		want int
	}{
		"the whole ring":              {FullRing(), 64, 64},
		"a part across zero":          {Range{-100, 100}, 7, 7},
		"narrower than the parts":     {Range{10, 13}, 8, 3},
		"a single token":              {Range{10, 11}, 2, 1},
		"the end of the ring":         {Range{math.MaxInt64 - 5, math.MaxInt64}, 2, 2},
		"a third of the ring in half": {RingRange(1, 3), 2, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := tc.r.Split(tc.n)
			if len(parts) != tc.want || parts[0].Start != tc.r.Start || parts[len(parts)-1].End != tc.r.End {
				t.Fatalf("%v.Split(%d) = %v", tc.r, tc.n, parts)
			}
			for i := 1; i < len(parts); i++ {
				if parts[i].Start != parts[i-1].End || parts[i].Width() == 0 {
					t.Errorf("part %d of %v does not follow the one before", i, parts)
				}
			}
		})
	}
}

func TestOrderVisitsEachOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 64, 1000} {
		order := Order(n)
		sorted := slices.Sorted(slices.Values(order))
		if len(order) != n || len(slices.Compact(sorted)) != n || n > 0 && sorted[n-1] != n-1 {
			t.Errorf("Order(%d) = %v", n, order)
		}
	}
	if got := Order(8); !slices.Equal(got, []int{0, 4, 2, 6, 1, 5, 3, 7}) {
		t.Errorf("Order(8) = %v: neighbours must be far apart", got)
	}
}
