// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/json"
	"fmt"
	"time"
)

// The types of records in a journal, in the order of a purge.
const (
	recordHeader   = "header"   // Header
	recordMetadata = "metadata" // metadataDone: definition saved
	recordDetach   = "detach"   // stamp: about to delete the row, at this timestamp
	recordDetached = "detached" // empty: row and endpoints are gone
	recordQuiesce  = "quiesce"  // quiesce: until when to wait
	recordCut      = "cut"      // cut: about to sweep, up to this timestamp
	recordSwept    = "swept"    // swept: a sweep ended
	recordFailed   = "failed"   // failure: a range could not be swept
	recordPrepared = "prepared" // empty: shards may begin
	recordShared   = "shard"    // swept: this shard is done
	recordExported = "exported" // exported: the object table is in the backup
	recordDrop     = "drop"     // dropped: about to drop the table
	recordDropped  = "dropped"  // dropped: the table is gone on all nodes
	recordGroups   = "groups"   // empty: the groups of kv_store are gone
	recordVerify   = "verify"   // Verification
	recordClosed   = "closed"   // empty: the purge is complete
)

// journalFormat changes when an older Holdfast could not go on with a journal.
const journalFormat = 1

// Header is the first record: all that identifies what is purged.
type Header struct {
	Format      int       `json:"format"`
	ID          string    `json:"id"`
	Version     string    `json:"version"` // of Holdfast
	Digest      string    `json:"digest"`  // of the plan that was confirmed
	Allowed     []string  `json:"allowed,omitempty"`
	User        string    `json:"user,omitempty"`
	Target      Target    `json:"target"`
	Nodes       []string  `json:"nodes"` // host ids with versions
	Splits      int       `json:"splits"`
	Consistency string    `json:"consistency"`
	Backup      string    `json:"backup,omitempty"`
	Shards      int       `json:"shards,omitempty"`
	Created     time.Time `json:"created"`
}

type (
	stampRecord   struct{ Timestamp int64 }
	quiesceRecord struct {
		Method string    `json:"method"`
		Until  time.Time `json:"until"`
	}
	cutRecord struct {
		Sweep     int   `json:"sweep"`
		Timestamp int64 `json:"timestamp"`
	}
	sweptRecord struct {
		Sweep  int    `json:"sweep"`
		Found  int64  `json:"found"`
		Future int64  `json:"future"`
		Failed int    `json:"failed"`
		Counts Counts `json:"deleted"`
	}
	failureRecord struct {
		Table  string `json:"table"`
		Sweep  int    `json:"sweep"`
		Start  int64  `json:"start"`
		End    int64  `json:"end"`
		Reason string `json:"reason"`
	}
	dropRecord struct {
		Table string `json:"table"`
		ID    string `json:"id"`
	}
	empty struct{}
)

// Counts are the partitions that a purge has deleted, by table.
type Counts struct {
	Datastreams int64 `json:"datastreams"`
	Properties  int64 `json:"properties"`
	Rows        int64 `json:"backedUpRows,omitempty"`
}

func (c Counts) plus(d Counts) Counts {
	return Counts{c.Datastreams + d.Datastreams, c.Properties + d.Properties, c.Rows + d.Rows}
}

// state is what the records of a journal add up to.
type state struct {
	header    *Header
	metadata  bool
	detach    int64 // timestamp, 0: not announced
	detached  bool
	quiesce   *quiesceRecord
	cuts      map[int]int64
	sweeps    map[int]sweptRecord
	prepared  bool
	shardDone *sweptRecord
	exported  bool
	dropping  bool
	dropped   bool
	groups    bool
	verified  *Verification
	resweep   int // sweeps up to this one were followed by a verification that found something
	closed    bool
	closedAt  time.Time
}

// lastCut is the timestamp of the latest sweep, 0 when there was none.
func (s *state) lastCut() int64 {
	var last int64
	for _, c := range s.cuts {
		last = max(last, c)
	}
	return last
}

// lastSweep is the number of the latest sweep that ended.
func (s *state) lastSweep() int {
	last := 0
	for i := range s.sweeps {
		last = max(last, i)
	}
	return last
}

func (s *state) deleted() Counts {
	var all Counts
	for _, w := range s.sweeps {
		all = all.plus(w.Counts)
	}
	return all
}

func replay(records []Record) (*state, error) {
	s := &state{cuts: map[int]int64{}, sweeps: map[int]sweptRecord{}}
	for _, r := range records {
		if err := s.apply(r); err != nil {
			return nil, fmt.Errorf("read journal: record %d (%s): %w", r.Seq, r.Type, err)
		}
	}
	if s.header == nil && len(records) > 0 {
		return nil, fmt.Errorf("read journal: it does not begin with a header")
	}
	if s.header != nil && s.header.Format != journalFormat {
		return nil, fmt.Errorf("read journal: it has format %d, and this version of Holdfast knows %d; use the version that began the purge, %s", s.header.Format, journalFormat, s.header.Version)
	}
	return s, nil
}

func (s *state) apply(r Record) error {
	var cut cutRecord
	var swept sweptRecord
	var stamp stampRecord
	switch r.Type {
	case recordHeader:
		return json.Unmarshal(r.Data, &s.header)
	case recordMetadata:
		s.metadata = true
	case recordDetach:
		err := json.Unmarshal(r.Data, &stamp)
		s.detach = stamp.Timestamp
		return err
	case recordDetached:
		s.detached = true
	case recordQuiesce:
		return json.Unmarshal(r.Data, &s.quiesce)
	case recordCut:
		err := json.Unmarshal(r.Data, &cut)
		s.cuts[cut.Sweep] = cut.Timestamp
		return err
	case recordSwept:
		err := json.Unmarshal(r.Data, &swept)
		s.sweeps[swept.Sweep] = swept
		return err
	case recordPrepared:
		s.prepared = true
	case recordShared:
		return json.Unmarshal(r.Data, &s.shardDone)
	case recordExported:
		s.exported = true
	case recordDrop:
		s.dropping = true
	case recordDropped:
		s.dropped = true
	case recordGroups:
		s.groups = true
	case recordVerify:
		s.verified = nil
		if err := json.Unmarshal(r.Data, &s.verified); err != nil {
			return err
		}
		if !s.verified.Clean {
			// What was found is to be swept, so the sweeps are not over.
			for i := range s.sweeps {
				s.resweep = max(s.resweep, i)
			}
			s.groups = false
		}
	case recordClosed:
		s.closed, s.closedAt = true, r.Time
	case recordFailed:
	default:
		return fmt.Errorf("unknown type; a newer Holdfast wrote it")
	}
	return nil
}
