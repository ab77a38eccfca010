// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Proxy passes TCP connections on to an API server, and can hold them up.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	links   map[*proxied]bool
	frozen  bool
	refuses bool
	delay   time.Duration
	hurry   chan struct{} // closed when what is delayed is to go at once
	ended   bool
}

// proxied is one connection through the proxy.
type proxied struct {
	near, far net.Conn
	ended     chan struct{}
	end       sync.Once

	mu   sync.Mutex
	open chan struct{} // closed while it is not frozen
}

// NewProxy listens on loopback for connections to the API server of config, and
// returns the configuration that goes through it.
func NewProxy(ctx context.Context, config *rest.Config) (*Proxy, *rest.Config, error) {
	host, err := url.Parse(config.Host)
	if err != nil {
		return nil, nil, fmt.Errorf("start proxy: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{listener: listener, target: host.Host, links: map[*proxied]bool{}, hurry: make(chan struct{})}
	through := rest.CopyConfig(config)
	through.Host = p.URL()
	go p.accept(context.WithoutCancel(ctx))
	return p, through, nil
}

// URL is where the API server is to be reached through the proxy.
func (p *Proxy) URL() string { return "https://" + p.listener.Addr().String() }

func (p *Proxy) accept(ctx context.Context) {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		c := &proxied{near: near, far: far, ended: make(chan struct{}), open: make(chan struct{})}
		p.mu.Lock()
		if p.refuses || p.ended {
			p.mu.Unlock()
			c.close()
			continue
		}
		if !p.frozen {
			close(c.open)
		}
		p.links[c] = true
		p.mu.Unlock()
		go p.pump(c, near, far)
		go p.pump(c, far, near)
	}
}

type chunk struct {
	data  []byte
	due   time.Time
	hurry <-chan struct{}
}

// pump copies one direction, each piece when its time has come.
func (p *Proxy) pump(c *proxied, from, to net.Conn) {
	pieces := make(chan chunk, 1024)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				p.mu.Lock()
				piece := chunk{buffer[:n], time.Now().Add(p.delay), p.hurry}
				p.mu.Unlock()
				select {
				case pieces <- piece:
				case <-c.ended:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	defer p.drop(c)
	for piece := range pieces {
		timer := time.NewTimer(time.Until(piece.due))
		select {
		case <-timer.C:
		case <-piece.hurry:
			timer.Stop()
		case <-c.ended:
			timer.Stop()
			return
		}
		if !c.wait() {
			return
		}
		if _, err := to.Write(piece.data); err != nil {
			return
		}
	}
}

func (c *proxied) wait() bool {
	for {
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		select {
		case <-open:
			return true
		case <-c.ended:
			return false
		}
	}
}

func (c *proxied) freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.open:
		if on {
			c.open = make(chan struct{})
		}
	default:
		if !on {
			close(c.open)
		}
	}
}

func (c *proxied) close() {
	c.end.Do(func() {
		close(c.ended)
		_ = c.near.Close()
		_ = c.far.Close()
	})
}

func (p *Proxy) drop(c *proxied) {
	p.mu.Lock()
	delete(p.links, c)
	p.mu.Unlock()
	c.close()
}

// Freeze lets nothing more through, on connections that are there and on new ones.
func (p *Proxy) Freeze() { p.hold(true, true) }

// FreezeExisting lets nothing more through on the connections that are there;
// new ones work.
func (p *Proxy) FreezeExisting() { p.hold(true, false) }

// Thaw lets everything through again, what was held up included, at once.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	p.refuses, p.delay = false, 0
	close(p.hurry)
	p.hurry = make(chan struct{})
	p.mu.Unlock()
	p.hold(false, false)
}

func (p *Proxy) hold(existing, later bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = later
	for c := range p.links {
		c.freeze(existing)
	}
}

// Delay lets everything through late by d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Drop closes all connections and refuses new ones.
func (p *Proxy) Drop() {
	p.mu.Lock()
	p.refuses = true
	links := p.links
	p.links = map[*proxied]bool{}
	p.mu.Unlock()
	for c := range links {
		c.close()
	}
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Drop()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
