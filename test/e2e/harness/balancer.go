// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Balancer does for replicas outside a cluster what the Service does inside: it
// hands each connection to the next replica that takes it.
type Balancer struct {
	// Address is where it listens.
	Address string

	listener net.Listener
	next     atomic.Uint32
	serving  sync.WaitGroup

	mu       sync.Mutex
	backends []string
	open     map[net.Conn]bool
}

// NewBalancer listens on loopback; SetBackends says where to.
func NewBalancer() (*Balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it listens until Close
	if err != nil {
		return nil, fmt.Errorf("start balancer: %w", err)
	}
	b := &Balancer{Address: listener.Addr().String(), listener: listener, open: map[net.Conn]bool{}}
	b.serving.Go(b.accept)
	return b, nil
}

// SetBackends replaces the addresses that connections go to.
func (b *Balancer) SetBackends(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = addresses
}

// Rotate cuts all connections, so that the next ones go to the next replica. A
// request that is under way on one of them fails.
func (b *Balancer) Rotate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.open {
		_ = conn.Close()
	}
}

// Close stops listening and cuts all connections.
func (b *Balancer) Close() error {
	err := b.listener.Close()
	b.Rotate()
	b.serving.Wait()
	return err
}

func (b *Balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.serving.Go(func() { b.serve(conn) })
	}
}

func (b *Balancer) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // it may be cut already
	backend := b.dial()
	if backend == nil {
		return
	}
	defer backend.Close() //nolint:errcheck // likewise
	for _, c := range []net.Conn{conn, backend} {
		b.note(c, true)
		defer b.note(c, false)
	}
	var copying sync.WaitGroup
	for _, ends := range [][2]net.Conn{{conn, backend}, {backend, conn}} {
		copying.Go(func() {
			_, _ = io.Copy(ends[0], ends[1]) // its end is the end of the connection
			_ = ends[0].Close()
			_ = ends[1].Close()
		})
	}
	copying.Wait()
}

// dial connects to the next replica that takes the connection; nil if none does.
func (b *Balancer) dial() net.Conn {
	b.mu.Lock()
	backends := b.backends
	b.mu.Unlock()
	first := b.next.Add(1)
	for i := range backends {
		conn, err := net.Dial("tcp", backends[(int(first)+i)%len(backends)]) //nolint:noctx // loopback answers at once
		if err == nil {
			return conn
		}
	}
	return nil
}

func (b *Balancer) note(conn net.Conn, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if open {
		b.open[conn] = true
	} else {
		delete(b.open, conn)
	}
}
