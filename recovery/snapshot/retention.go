// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"time"
)

// overhead is what a snapshot takes besides its payload: the record, which is
// kept twice, and the Secret around it.
const overhead = 2 << 10

// Policy says how much history is kept. Zero is no limit.
type Policy struct {
	// Versions is how many versions of one object are kept, whatever UIDs it had.
	Versions int
	// Bytes is how much all snapshots together may take.
	Bytes int64
	// Age is how old a version may become.
	Age time.Duration
	// Beside is what sets take, which counts for Bytes too.
	Beside int64
}

// DefaultPolicy is what applies unless something else is asked for.
func DefaultPolicy() Policy { return Policy{Versions: 10, Bytes: 256 << 20} }

// Removal is a snapshot that a policy does not keep.
type Removal struct {
	Record
	Why string `json:"why"`
}

// Retained is what a policy makes of snapshots.
type Retained struct {
	// Remove are those that go, the oldest first; Sets go before them.
	Remove []Removal
	Sets   []SetRecord
	// Count, Bytes and Oldest are those of what stays.
	Count  int
	Bytes  int64
	Oldest time.Time
	// Over is by how much that is more than the policy allows, because nothing
	// more may go.
	Over int64
}

// Footprint is how much the snapshot takes in the cluster's storage, about.
func (r *Record) Footprint() int64 {
	stored := r.Stored
	if stored == 0 {
		stored = r.Size // it was saved by a version that did not note it
	}
	return int64(stored) + overhead
}

// Apply tells which of records, sorted as List gives them, the policy removes.
// What is needed never goes: the latest version of each object, so that nothing
// that is gone is lost for good; what a recovery works from; what is pinned; what
// held names, with a reason; and what cannot be read, because nobody knows what
// it is.
func (p Policy) Apply(records []Record, held map[string]string, now time.Time) Retained {
	needed := p.needed(records, held)
	gone := map[string]string{}
	versions := map[string]int{}
	out := Retained{Bytes: p.Beside}
	for i := range records {
		r := &records[i]
		out.Bytes += r.Footprint()
		object := r.Resource + "/" + r.Namespace + "/" + r.Name
		versions[object]++
		if needed[r.ID] {
			continue
		}
		switch age := now.Sub(r.LastAt()); {
		case p.Age > 0 && age > p.Age:
			gone[r.ID] = fmt.Sprintf("older than %s", p.Age)
		case p.Versions > 0 && versions[object] > p.Versions:
			gone[r.ID] = fmt.Sprintf("more than %d versions of the object", p.Versions)
		default:
			continue
		}
		out.Bytes -= r.Footprint()
	}
	for i := len(records) - 1; i >= 0; i-- {
		r := &records[i]
		if p.Bytes > 0 && out.Bytes > p.Bytes && !needed[r.ID] && gone[r.ID] == "" {
			gone[r.ID] = fmt.Sprintf("all snapshots together take more than %d bytes", p.Bytes)
			out.Bytes -= r.Footprint()
		}
		if why, ok := gone[r.ID]; ok {
			out.Remove = append(out.Remove, Removal{*r, why})
			continue
		}
		out.Count++
		if r.Problem == "" && (out.Oldest.IsZero() || r.SavedAt.Before(out.Oldest)) {
			out.Oldest = r.SavedAt
		}
	}
	if p.Bytes > 0 {
		out.Over = max(0, out.Bytes-p.Bytes)
	}
	return out
}

// needed are the IDs of what no policy removes.
func (p Policy) needed(records []Record, held map[string]string) map[string]bool {
	needed := map[string]bool{}
	for id := range held {
		needed[id] = true
	}
	for i := range records {
		if r := &records[i]; r.Problem != "" || r.Pin != nil || r.Journal.Open() {
			needed[r.ID] = true
		}
	}
	for _, i := range Latest(records) {
		needed[records[i].ID] = true
	}
	return needed
}
