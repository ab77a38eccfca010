// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

func TestGatheredConnectionSendsEverythingInOrder(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	g := gather(here)
	got := make(chan []byte, 1)
	go func() {
		data, _ := io.ReadAll(there)
		got <- data
	}()
	var want []byte
	for i := range 300 {
		// Some alone are more than may wait.
		p := bytes.Repeat([]byte{byte(i)}, 1+i*i*(i%7))
		if i == 100 {
			p = make([]byte, mostWaiting+1)
		}
		n, err := g.Write(p)
		if n != len(p) || err != nil {
			t.Fatalf("Write = %d, %v, want %d", n, err, len(p))
		}
		want = append(want, p...)
	}
	g.mu.Lock()
	for len(g.waiting) > 0 {
		g.changed.Wait()
	}
	g.mu.Unlock()
	// The last of it is under way; Write of the pipe returns when it was read.
	if _, err := g.Write(make([]byte, mostWaiting+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if data := <-got; !bytes.HasPrefix(data, want) {
		t.Errorf("%d bytes came, which do not begin with the %d that were sent", len(data), len(want))
	}
	if _, err := g.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close = %v, want %v", err, net.ErrClosed)
	}
}

func TestGatheredConnectionWritesTogether(t *testing.T) {
	t.Parallel()
	blocked := &slowConn{writes: make(chan []byte), release: make(chan struct{})}
	g := gather(blocked)
	defer g.Close() //nolint:errcheck // nothing is left to write
	if _, err := g.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if first := <-blocked.writes; string(first) != "first" {
		t.Fatalf("first write = %q", first)
	}
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() { _, _ = g.Write([]byte("x")) })
	}
	wait.Wait() // none of them waits for the one that is under way
	close(blocked.release)
	if second := <-blocked.writes; string(second) != string(bytes.Repeat([]byte("x"), 50)) {
		t.Errorf("second write = %q, want all 50 in one", second)
	}
}

func TestGatheredConnectionBreaksWhenItCannotWrite(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe() // nobody reads
	defer there.Close()       //nolint:errcheck // its other end is closed
	g := gather(here)
	if err := g.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := g.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Read(make([]byte, 1)); err == nil {
		t.Error("whoever waits for an answer does not learn of the broken connection")
	}
	if _, err := g.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write = %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// slowConn hands over what is written, and keeps the first write until told.
type slowConn struct {
	net.Conn
	writes  chan []byte
	release chan struct{}
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.writes <- bytes.Clone(p)
	<-c.release
	return len(p), nil
}

func (c *slowConn) SetWriteDeadline(time.Time) error { return nil }

func (c *slowConn) Close() error { return nil }
