// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
	"time"
)

// rangeMap remembers which ranges of a sweep over a table are done, and what
// was found and deleted in them, across crashes. It is written in one step,
// every saveEvery or so: a range that was done since is done again, which is
// harmless.
type rangeMap struct {
	path string // "": nothing is kept

	mu      sync.Mutex
	bits    []byte
	n, done int
	counts  rangeCounts
	saved   time.Time
	unsaved int
	now     func() time.Time
}

// rangeCounts add up over the ranges done.
type rangeCounts struct {
	Found, Future, Datastreams, Properties, Rows int64
}

func (c *rangeCounts) add(d rangeCounts) {
	c.Found += d.Found
	c.Future += d.Future
	c.Datastreams += d.Datastreams
	c.Properties += d.Properties
	c.Rows += d.Rows
}

func (c rangeCounts) counts() Counts {
	return Counts{Datastreams: c.Datastreams, Properties: c.Properties, Rows: c.Rows}
}

const (
	saveEvery       = 2 * time.Second
	saveEveryRanges = 256
	rangeMapMagic   = "HFRANGE1"
	rangeMapHeader  = 8 + 8 + 5*8 // magic, n, counts
)

// openRangeMap reads the map at path, or begins one of n ranges.
func openRangeMap(path string, n int, now func() time.Time) (*rangeMap, error) {
	m := &rangeMap{path: path, n: n, bits: make([]byte, (n+7)/8), now: now, saved: now()}
	data, err := os.ReadFile(path) //nolint:gosec // G304: in the journal's folder
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ranges: %w", err)
	}
	if err := m.decode(data); err != nil {
		return nil, fmt.Errorf("read ranges %s: %w; remove the file to sweep all of them again", path, err)
	}
	return m, nil
}

func (m *rangeMap) decode(data []byte) error {
	if len(data) != rangeMapHeader+len(m.bits)+4 || string(data[:8]) != rangeMapMagic {
		return errors.New("not a map of this sweep")
	}
	body, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return errors.New("it is damaged")
	}
	if got := binary.BigEndian.Uint64(body[8:]); got != uint64(m.n) { //nolint:gosec // G115: a count
		return errors.New("it has another number of ranges")
	}
	for i, c := range []*int64{&m.counts.Found, &m.counts.Future, &m.counts.Datastreams, &m.counts.Properties, &m.counts.Rows} {
		*c = int64(binary.BigEndian.Uint64(body[16+8*i:])) //nolint:gosec // G115: written from int64
	}
	copy(m.bits, body[rangeMapHeader:])
	for i := range m.n {
		if m.has(i) {
			m.done++
		}
	}
	return nil
}

func (m *rangeMap) has(i int) bool { return m.bits[i/8]&(1<<(i%8)) != 0 }

// Has says whether range i is done.
func (m *rangeMap) Has(i int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has(i)
}

// Set marks range i as done, and saves now and then.
func (m *rangeMap) Set(i int, c rangeCounts) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.has(i) {
		m.bits[i/8] |= 1 << (i % 8)
		m.done++
	}
	m.counts.add(c)
	m.unsaved++
	if m.unsaved < saveEveryRanges && m.now().Sub(m.saved) < saveEvery {
		return nil
	}
	return m.save()
}

// Add counts what was done in a range that is not done as a whole.
func (m *rangeMap) Add(c rangeCounts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts.add(c)
}

// Save writes the map.
func (m *rangeMap) Save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.save()
}

func (m *rangeMap) save() error {
	data := make([]byte, rangeMapHeader, rangeMapHeader+len(m.bits)+4)
	copy(data, rangeMapMagic)
	binary.BigEndian.PutUint64(data[8:], uint64(m.n)) //nolint:gosec // G115: a count
	for i, c := range []int64{m.counts.Found, m.counts.Future, m.counts.Datastreams, m.counts.Properties, m.counts.Rows} {
		binary.BigEndian.PutUint64(data[16+8*i:], uint64(c)) //nolint:gosec // G115: read back as int64
	}
	data = append(data, m.bits...)
	data = binary.BigEndian.AppendUint32(data, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	m.saved, m.unsaved = m.now(), 0
	if m.path == "" {
		return nil
	}
	return writeFile(m.path, data)
}

// Progress is how many ranges are done, of how many, and the counts so far.
func (m *rangeMap) Progress() (done, total int, c rangeCounts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done, m.n, m.counts
}
