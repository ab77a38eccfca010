// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// Report is what a purge did, and what is left to do.
type Report struct {
	ID        string     `json:"id"`
	Title     string     `json:"title"`
	Digest    string     `json:"digest"`
	Keyspace  string     `json:"keyspace"`
	Interface string     `json:"interface"`
	Major     int        `json:"major"`
	ID128     string     `json:"interfaceID"`
	Complete  bool       `json:"complete"`
	Journal   string     `json:"journal"`
	Backup    string     `json:"backup,omitempty"`
	Unknown   []string   `json:"backupTimesUnknown,omitempty"` // columns whose TTL and write time the server does not tell
	Seconds   float64    `json:"seconds"`
	Sweeps    int        `json:"sweeps"`
	Deleted   Counts     `json:"deleted"`
	Dropped   string     `json:"droppedTable,omitempty"`
	Found     int64      `json:"found"`
	Leftovers []Leftover `json:"leftovers,omitempty"`
	Triggers  []string   `json:"triggersLeft,omitempty"`
	Devices   DeviceUse  `json:"devices"`
	Next      []string   `json:"next,omitempty"`
}

const reportName = "report.json"

func (r *run) report() *Report {
	h := r.state.header
	rep := &Report{
		ID: h.ID, Title: r.target.Title(), Digest: h.Digest, Keyspace: r.target.Keyspace, Interface: r.target.Name, Major: r.target.Major,
		ID128: r.target.ID.String(), Complete: r.state.closed, Journal: r.journal.Dir, Backup: h.Backup,
		Seconds: r.o.Now().Sub(r.started).Seconds(), Sweeps: r.state.lastSweep(), Deleted: r.state.deleted(), Devices: r.plan.Devices,
	}
	if r.backup != nil {
		rep.Unknown = r.backup.meta.Unknown
	}
	if r.state.dropped {
		rep.Dropped = r.target.Object.Name
	}
	if v := r.state.verified; v != nil {
		rep.Found, rep.Leftovers, rep.Triggers = v.Found, v.Leftovers, v.Triggers
	}
	if len(rep.Leftovers) == 0 {
		rep.Leftovers = r.future.some
	}
	rep.Next = r.next(rep)
	return rep
}

// next is what the user has to do after the purge.
func (r *run) next(rep *Report) []string {
	switch {
	case r.state.detach == 0:
		return nil
	case r.o.Shard.Role == RolePrepare && r.state.prepared, r.o.Shard.Role == RoleSweep && r.state.shardDone != nil:
		return []string{fmt.Sprintf("when all %d shards are done, --shard finish/%d ends the purge", r.o.Shard.Count, r.o.Shard.Count)}
	}
	var next []string
	if !rep.Complete {
		next = append(next, "run the same command again: it goes on where this one ended")
	}
	next = append(next,
		fmt.Sprintf("restart the data updater (kubectl rollout restart deployment, its name ends in data-updater-plant) before an interface %s is installed again: it remembers paths, and their data would not show up", Title(r.target.Name, r.target.Major)),
		fmt.Sprintf("repair keyspace %s on every node within %s (nodetool repair -pr %s): a node that missed the deletes would bring the data back after that", r.target.Keyspace, r.grace(), r.target.Keyspace),
	)
	if rep.Dropped != "" {
		next = append(next, fmt.Sprintf("the dropped table is kept as a snapshot on each node's disk unless auto_snapshot is off; when nobody needs it: nodetool clearsnapshot --all -- %s", r.target.Keyspace))
	}
	if n := rep.Devices.Declaring; n > 0 {
		next = append(next, fmt.Sprintf("%s the interface: until their firmware drops it they are disconnected whenever they publish on it", count(n, "device still declares", "devices still declare")))
	}
	if len(rep.Triggers) > 0 {
		next = append(next, "delete the triggers that watch the interface through Astarte's API: "+listOr(rep.Triggers, ""))
	}
	if rep.Backup != "" {
		next = append(next, fmt.Sprintf("to bring the interface back: holdfast recovery restore-interface --backup %s, with the same connection", rep.Backup))
	}
	return next
}

// grace is how long deletes that a node missed are still known to the others.
func (r *run) grace() string {
	seconds := defaultGrace
	if r.target.Object != nil {
		if s, err := strconv.Atoi(r.target.Object.Schema.Options["gc_grace_seconds"]); err == nil {
			seconds = min(seconds, s)
		}
	}
	if s := r.plan.Grace; s > 0 {
		seconds = min(seconds, s)
	}
	d := time.Duration(seconds) * time.Second
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
	return d.String()
}

// defaultGrace is gc_grace_seconds where a table does not say.
const defaultGrace = 864000

func (r *run) writeReport() error {
	data, err := json.MarshalIndent(r.report(), "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return writeFile(filepath.Join(r.journal.Dir, reportName), append(data, '\n'))
}
