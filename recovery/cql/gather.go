// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"context"
	"net"
	"runtime"
	"sync"
	"time"
)

// gatheringDialer makes connections that send requests together. The driver
// would send each with a system call of its own, which costs client and server
// more than the request does, or wait for others by a timer, which costs a lone
// request more than a millisecond.
type gatheringDialer struct{ net.Dialer }

// DialContext connects.
func (d *gatheringDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return gather(conn), nil
}

// gathered is a connection that writes in one go all that was to be written by
// the time it comes to it. What fails later than Write breaks the connection, so
// that whoever waits for an answer learns of it.
type gathered struct {
	net.Conn

	mu       sync.Mutex
	changed  *sync.Cond
	waiting  []byte // to be written next
	deadline time.Time
	err      error // why nothing can be written any more
}

// mostWaiting bounds what waits to be written; more makes Write wait.
const mostWaiting = 1 << 20

func gather(conn net.Conn) *gathered {
	g := &gathered{Conn: conn}
	g.changed = sync.NewCond(&g.mu)
	go g.flush()
	return g
}

// Write takes over p to be written soon.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > mostWaiting && g.err == nil {
		g.changed.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	first := len(g.waiting) == 0
	g.waiting = append(g.waiting, p...)
	if first {
		g.changed.Broadcast()
	}
	return len(p), nil
}

// flush writes what waits until the connection is closed.
func (g *gathered) flush() {
	var spare []byte
	for {
		g.mu.Lock()
		for len(g.waiting) == 0 && g.err == nil {
			g.changed.Wait()
		}
		g.mu.Unlock()
		// Whoever is about to send as well gets to it first.
		runtime.Gosched()
		g.mu.Lock()
		if g.err != nil {
			g.mu.Unlock()
			return
		}
		full, deadline := g.waiting, g.deadline
		g.waiting = spare[:0]
		g.changed.Broadcast()
		g.mu.Unlock()
		err := g.Conn.SetWriteDeadline(deadline)
		if err == nil {
			_, err = g.Conn.Write(full)
		}
		if err != nil {
			g.fail(err)
			_ = g.Conn.Close() // it is broken already
			return
		}
		if spare = full; cap(spare) > mostWaiting {
			spare = nil
		}
	}
}

func (g *gathered) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	g.changed.Broadcast()
}

// SetWriteDeadline bounds what is written from now on.
func (g *gathered) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = t
	return g.err
}

// SetDeadline bounds reads and writes.
func (g *gathered) SetDeadline(t time.Time) error {
	if err := g.SetReadDeadline(t); err != nil {
		return err
	}
	return g.SetWriteDeadline(t)
}

// Close ends the connection; what waits is not sent.
func (g *gathered) Close() error {
	g.fail(net.ErrClosed)
	return g.Conn.Close()
}
