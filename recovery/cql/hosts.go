// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"sync"

	"github.com/gocql/gocql"
)

// hostPolicy asks the replicas of a key first, nodes of the datacenter before
// others, unless the context pins one node.
type hostPolicy struct {
	gocql.HostSelectionPolicy
	mu    sync.Mutex
	known map[string]*gocql.HostInfo
}

type pinnedKey struct{}

// pin makes the statements of the context go to that node alone.
func pin(ctx context.Context, hostID string) context.Context {
	return context.WithValue(ctx, pinnedKey{}, hostID)
}

func newHostPolicy(datacenter string) *hostPolicy {
	fallback := gocql.RoundRobinHostPolicy()
	if datacenter != "" {
		fallback = gocql.DCAwareRoundRobinPolicy(datacenter)
	}
	return &hostPolicy{
		HostSelectionPolicy: gocql.TokenAwareHostPolicy(fallback, gocql.ShuffleReplicas()),
		known:               map[string]*gocql.HostInfo{},
	}
}

// AddHost notes a node that is new.
func (p *hostPolicy) AddHost(h *gocql.HostInfo) {
	p.mu.Lock()
	p.known[h.HostID()] = h
	p.mu.Unlock()
	p.HostSelectionPolicy.AddHost(h)
}

// RemoveHost forgets a node.
func (p *hostPolicy) RemoveHost(h *gocql.HostInfo) {
	p.mu.Lock()
	delete(p.known, h.HostID())
	p.mu.Unlock()
	p.HostSelectionPolicy.RemoveHost(h)
}

// HostUp notes a node that is back.
func (p *hostPolicy) HostUp(h *gocql.HostInfo) {
	p.mu.Lock()
	p.known[h.HostID()] = h
	p.mu.Unlock()
	p.HostSelectionPolicy.HostUp(h)
}

// Pick chooses the nodes to ask for a statement, in their order.
func (p *hostPolicy) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	id, ok := q.Context().Value(pinnedKey{}).(string)
	if !ok {
		return p.HostSelectionPolicy.Pick(q)
	}
	p.mu.Lock()
	host := p.known[id]
	p.mu.Unlock()
	return func() gocql.SelectedHost {
		if host == nil {
			return nil
		}
		picked := pinnedHost{host}
		host = nil
		return picked
	}
}

// otherNode asks a second node, and a third, when the connection to the first
// breaks. It is for reads: what writes is repeated by its caller, who knows
// whether that is harmless.
type otherNode struct{}

const mostNodesAsked = 3

// Attempt says whether there may be another try.
func (otherNode) Attempt(q gocql.RetryableQuery) bool { return q.Attempts() < mostNodesAsked }

// GetRetryType says where to try again after err.
func (otherNode) GetRetryType(err error) gocql.RetryType {
	if kind, _ := classify(err); kind == KindConnection {
		return gocql.RetryNextHost
	}
	return gocql.Rethrow
}

type pinnedHost struct{ info *gocql.HostInfo }

// Info is the node.
func (h pinnedHost) Info() *gocql.HostInfo { return h.info }

// Mark has nothing to remember: the node is the only one there is.
func (h pinnedHost) Mark(error) {}
