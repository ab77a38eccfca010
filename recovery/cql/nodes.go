// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Node is one server of the cluster, as it answered itself.
type Node struct {
	HostID        string    `json:"hostID"`
	Address       string    `json:"address"`
	Datacenter    string    `json:"datacenter,omitempty"`
	Version       string    `json:"version,omitempty"`
	Up            bool      `json:"up"`               // it answered us
	Reason        string    `json:"reason,omitempty"` // why it counts as down
	SchemaVersion string    `json:"-"`
	Clock         time.Time `json:"-"` // its clock, at the resolution of a millisecond
	Asked         time.Time `json:"-"` // our clock, halfway between question and answer
}

// Cluster is what the database says of itself.
type Cluster struct {
	Name        string
	Partitioner string
	Nodes       []Node
}

const (
	textLocal = `SELECT cluster_name, partitioner, host_id, data_center, release_version, rpc_address FROM system.local WHERE key = 'local'`
	textPeers = `SELECT host_id, data_center, release_version, rpc_address FROM system.peers`
	textClock = `SELECT now(), schema_version FROM system.local WHERE key = 'local'`
)

// Cluster asks which nodes there are, and each of them whether it is up, its
// clock and its schema version.
func (s *Session) Cluster(ctx context.Context) (Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*systemTimeout)
	defer cancel()
	var c Cluster
	var local Node
	var id UUID
	var address net.IP
	found, err := one(ctx, s, Statement{Text: textLocal, Consistency: One}, &c.Name, &c.Partitioner, &id, &local.Datacenter, &local.Version, &address)
	if err != nil {
		return Cluster{}, fmt.Errorf("ask the database about itself: %w", err)
	}
	if !found {
		return Cluster{}, fmt.Errorf("ask the database about itself: system.local is empty")
	}
	local.HostID, local.Address = id.String(), address.String()
	// system.peers is what that very node knows of the others.
	rows := s.Rows(pin(ctx, local.HostID), Statement{Text: textPeers, Consistency: One})
	c.Nodes = []Node{local}
	for {
		var n Node
		if !rows.Scan(&id, &n.Datacenter, &n.Version, &address) {
			break
		}
		n.HostID, n.Address = id.String(), address.String()
		c.Nodes = append(c.Nodes, n)
	}
	if err := rows.Close(); err != nil {
		return Cluster{}, fmt.Errorf("ask the database about its nodes: %w", err)
	}
	slices.SortFunc(c.Nodes, func(a, b Node) int { return strings.Compare(a.HostID, b.HostID) })
	var wait sync.WaitGroup
	for i := range c.Nodes {
		wait.Go(func() { s.ask(ctx, &c.Nodes[i]) })
	}
	wait.Wait()
	return c, nil
}

func (s *Session) ask(ctx context.Context, n *Node) {
	ctx, cancel := context.WithTimeout(pin(ctx, n.HostID), systemTimeout)
	defer cancel()
	var now, version UUID
	sent := time.Now()
	found, err := one(ctx, s, Statement{Text: textClock, Consistency: One}, &now, &version)
	switch {
	case err != nil:
		n.Reason = "does not answer CQL from here"
	case !found:
		n.Reason = "answered without a clock"
	default:
		n.Up, n.Clock, n.SchemaVersion = true, now.Time(), version.String()
		n.Asked = sent.Add(time.Since(sent) / 2)
	}
}

// Down are the nodes that did not answer.
func (c Cluster) Down() []Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n Node) bool { return n.Up })
}

// Skew is the largest difference between a node's clock and ours.
func (c Cluster) Skew() time.Duration {
	var most time.Duration
	for _, n := range c.Nodes {
		if n.Up {
			most = max(most, n.Clock.Sub(n.Asked).Abs())
		}
	}
	return most
}

// Cut is a time in microseconds that no write which a node has stamped so far
// is later than: the latest clock of the nodes that answered. now() counts
// milliseconds, and the servers stamp with microseconds, so the cut is the last
// of that millisecond.
func (c Cluster) Cut() (int64, error) {
	var latest int64
	for _, n := range c.Nodes {
		if n.Up {
			latest = max(latest, n.Clock.UnixMilli())
		}
	}
	if latest == 0 {
		return 0, NewError(KindConnection, "no node of the database told its clock")
	}
	return latest*1000 + 999, nil
}

// SchemaVersions are the different schema versions of the nodes that answered;
// the nodes agree when there is one.
func (c Cluster) SchemaVersions() []string {
	var versions []string
	for _, n := range c.Nodes {
		if n.Up {
			versions = append(versions, n.SchemaVersion)
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}
