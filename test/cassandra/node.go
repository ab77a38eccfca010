// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-dev/holdfast/test/process"
)

const (
	// startTimeout bounds one node's start where the caller's context does not.
	startTimeout = 3 * time.Minute
	stopTimeout  = time.Minute
)

// Node is one Cassandra process.
type Node struct {
	// Host is the address for clients, host:port.
	Host string

	address string
	dir     string
	jars    string
	heapMiB int
	cluster *Cluster

	mu      sync.Mutex
	process *process.Process
}

// Stop ends the node cleanly: it tells the others that it goes. Stopping a
// stopped node does nothing.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := n.process.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop node %s: %w", n.Host, err)
	}
	select {
	case <-n.process.Ended():
		n.process = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop node %s: %w; its log: %s", n.Host, ctx.Err(), n.logFile())
	}
}

// Kill ends the node with SIGKILL and returns when it is gone: the others have
// to find out by themselves, which takes them about 20 s.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return
	}
	// The only error there is says that the process has ended already.
	_ = n.process.Cmd.Process.Kill()
	<-n.process.Ended()
	n.process = nil
}

// Start runs a stopped or killed node again on its data and returns when the
// whole cluster is up.
func (n *Node) Start(ctx context.Context) error {
	if err := n.launch(ctx); err != nil {
		return err
	}
	return n.cluster.awaitUp(ctx)
}

// PID is the process of a running node, 0 when it does not run.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.PID()
}

// launch starts the process and returns when it answers on its own address.
func (n *Node) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.run(ctx); err != nil {
		return err
	}
	if err := n.awaitLog(ctx, "Starting listening for CQL clients"); err != nil {
		return err
	}
	return n.cluster.awaitAnswer(ctx, n.Host)
}

func (n *Node) run(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		return fmt.Errorf("start node %s: it runs already", n.Host)
	}
	// Each run has a log of its own, so that the wait cannot read an old one.
	log, err := os.Create(n.logFile())
	if err != nil {
		return fmt.Errorf("start node %s: %w", n.Host, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor, and nothing was written through this one
	cmd := exec.CommandContext(context.WithoutCancel(ctx), java(), n.arguments()...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, log, log
	if n.process, err = process.Start(cmd); err != nil {
		return fmt.Errorf("start node %s: %w", n.Host, err)
	}
	return nil
}

func (n *Node) logFile() string { return filepath.Join(n.dir, "node.log") }

// awaitLog returns when the node's log holds the text, or says why it never will.
func (n *Node) awaitLog(ctx context.Context, text string) error {
	n.mu.Lock()
	run := n.process
	n.mu.Unlock()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		log, err := os.ReadFile(n.logFile())
		if err != nil {
			return fmt.Errorf("start node %s: %w", n.Host, err)
		}
		if bytes.Contains(log, []byte(text)) {
			return nil
		}
		select {
		case <-run.Ended():
			// What it wrote last came after the read above; should this read fail, that one will do.
			if all, err := os.ReadFile(n.logFile()); err == nil {
				log = all
			}
			return fmt.Errorf("start node %s: it ended (%w) after: %s", n.Host, run.Err(), lastLines(log))
		case <-ctx.Done():
			return fmt.Errorf("start node %s: %w after: %s", n.Host, ctx.Err(), lastLines(log))
		case <-tick.C:
		}
	}
}

// lastLines is the end of a log on one line: enough to see the cause.
func lastLines(log []byte) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], " | ")
}
