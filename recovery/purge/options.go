// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"time"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Options say how to purge.
type Options struct {
	Version          string // of Holdfast, for the journal
	User             string // who runs it, for the journal
	Journal          string // the folder that holds the journals
	Backup           string // a folder for every deleted row, or ""
	Consistency      cql.Consistency
	QuiesceFor       time.Duration // how long writers are waited for
	WritersStopped   bool          // the user has stopped or restarted them
	DeletesPerSecond int           // 0: as fast as the servers take them
	Allowed          []string      // kinds of dangers that the user accepts
	Shard            Shard
	Backoff          Backoff
	Now              func() time.Time
	Observe          func(Event)
}

// Event is a step of a purge, for whoever watches.
type Event struct {
	Phase   string
	Message string // a status, or "" for progress
	Warning bool
	Table   string
	Sweep   int
	Done    int64 // ranges
	Total   int64
	Found   int64
	Deleted int64
}

// The phases, as events name them.
const (
	phaseJournal = "journal"
	phaseDetach  = "detach"
	phaseQuiesce = "quiesce"
	phaseSweep   = "sweep"
	phaseDrop    = "drop"
	phaseGroups  = "groups"
	phaseVerify  = "verify"
	phaseShard   = "shard"
	phaseRestore = "restore"
	phaseOrphans = "orphans"
)

// mostSweeps is after how many sweeps that still find data a purge gives up:
// somebody goes on writing.
const mostSweeps = 5

// Bounds of the deletes in flight.
const (
	deletesInFlight     = 128
	mostDeletesInFlight = 256
)

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Backoff.Tries == 0 {
		o.Backoff = DefaultBackoff()
	}
	if o.Consistency == 0 {
		o.Consistency = cql.Quorum
	}
	return o
}
