// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package fakecql

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Token is where a partition stands in the ring of the Murmur3Partitioner: the
// first half of MurmurHash3 x64 128, with Cassandra's signed bytes in the tail.
func Token(key []byte) int64 {
	const c1, c2 = 0x87c37b91114253d5, 0x4cf5ad432745937f
	var h1, h2 uint64
	whole := len(key) / 16 * 16
	for i := 0; i < whole; i += 16 {
		k1, k2 := binary.LittleEndian.Uint64(key[i:]), binary.LittleEndian.Uint64(key[i+8:])
		h1 ^= bits.RotateLeft64(k1*c1, 31) * c2
		h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		h2 ^= bits.RotateLeft64(k2*c2, 33) * c1
		h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
	}
	var k1, k2 uint64
	for i, b := range key[whole:] {
		signed := uint64(int64(int8(b))) //nolint:gosec // that is Cassandra's deviation
		if i < 8 {
			k1 ^= signed << (8 * i)
		} else {
			k2 ^= signed << (8 * (i - 8))
		}
	}
	h2 ^= bits.RotateLeft64(k2*c2, 33) * c1
	h1 ^= bits.RotateLeft64(k1*c1, 31) * c2
	h1 ^= uint64(len(key))
	h2 ^= uint64(len(key))
	h1 += h2
	h2 += h1
	h1, h2 = mixed(h1), mixed(h2)
	token := int64(h1 + h2) //nolint:gosec // the token is the same bits, signed
	if token == math.MinInt64 {
		return math.MaxInt64 // the ring's lowest value belongs to no key
	}
	return token
}

func mixed(k uint64) uint64 {
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}

// partitionKey joins the values of a partition key as Cassandra does before it
// hashes them.
func partitionKey(values [][]byte) []byte {
	if len(values) == 1 {
		return values[0]
	}
	var w writer
	for _, v := range values {
		w.shortBytes(v)
		w.byte(0)
	}
	return w.b
}
