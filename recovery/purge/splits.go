// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"math"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Bounds of the number of ranges of a scan: small ones are cheap to do again,
// and mostly one page.
const (
	partitionsPerRange = 4000
	leastRanges        = 64
	mostRanges         = 262144
)

// splitsFor is into how many ranges a table of that many partitions is divided.
func splitsFor(partitions int64) int {
	n := partitions / partitionsPerRange
	return int(min(max(n, leastRanges), mostRanges))
}

// ringShare is the share of the ring that a shard works on.
func ringShare(index, count int) cql.Range {
	if count <= 1 {
		return cql.FullRing()
	}
	return cql.RingRange(index, count)
}

// ringTokens is the number of tokens of the whole ring.
const ringTokens = float64(math.MaxUint64)
