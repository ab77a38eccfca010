// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-dev/holdfast/test/process"
)

const (
	// startTimeout is how long 'holdfast serve' may take until it is ready.
	startTimeout = 90 * time.Second
	// stopTimeout is how long it may take to end after SIGTERM.
	stopTimeout = 60 * time.Second
)

// Start runs 'holdfast serve' and returns when it is ready.
func (h *Holdfast) Start(ctx context.Context) error {
	if err := h.launch(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		reason := h.Probe(ctx, "/readyz")
		if reason == nil {
			return nil
		}
		select {
		case <-h.run.Ended():
			return fmt.Errorf("start holdfast: it ended (%w): %s", h.run.Err(), h.lastLog())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start holdfast: it is not ready (%w): %s", reason, h.lastLog()), h.Kill())
		case <-tick.C:
		}
	}
}

// launch runs 'holdfast serve' with nothing of the caller's environment but
// where it finds its cluster.
func (h *Holdfast) launch(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != nil {
		return errors.New("start holdfast: it runs already")
	}
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start holdfast: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor, and nothing was written through this one
	cmd := exec.CommandContext(context.WithoutCancel(ctx), h.Binary, h.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = h.dir, log, log
	cmd.Env = []string{"KUBECONFIG=" + h.Kubeconfig, "HOME=" + h.dir, "PATH=/nonexistent"}
	if h.run, err = process.Start(cmd); err != nil {
		return fmt.Errorf("start holdfast: %w", err)
	}
	return nil
}

// Probe asks the process for its health; path is /readyz, /healthz or one of
// the checks below them.
func (h *Holdfast) Probe(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.HealthURL+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, response.Status, strings.Join(strings.Fields(string(body)), " "))
	}
	return nil
}

// Running tells whether the process runs.
func (h *Holdfast) Running() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run != nil && h.run.Running()
}

// Ended is closed when the process that Start started last has ended.
func (h *Holdfast) Ended() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run.Ended()
}

// PID is that of the running process, 0 when there is none.
func (h *Holdfast) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil {
		return 0
	}
	return h.run.PID()
}

// Stop ends the process with SIGTERM, as a cluster would, and returns when it
// has ended. Stopping a stopped one does nothing.
func (h *Holdfast) Stop() error { return h.end(syscall.SIGTERM) }

// Kill ends the process with SIGKILL and returns when it is gone.
func (h *Holdfast) Kill() error { return h.end(syscall.SIGKILL) }

func (h *Holdfast) end(signal syscall.Signal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	run := h.run
	if run == nil {
		return nil
	}
	h.run = nil
	if err := run.Cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop holdfast: %w", err)
	}
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	select {
	case <-run.Ended():
	case <-late.C:
		_ = run.Cmd.Process.Kill()
		<-run.Ended()
		return fmt.Errorf("stop holdfast: it runs %s after %s: %s", stopTimeout, signal, h.lastLog())
	}
	if run.Err() != nil && signal == syscall.SIGTERM {
		return fmt.Errorf("stop holdfast: it ended with %w: %s", run.Err(), h.lastLog())
	}
	return nil
}

// LogFile is the file that all runs of the process log to.
func (h *Holdfast) LogFile() string { return h.log }

// Logs is what all runs of the process have logged.
func (h *Holdfast) Logs() (string, error) {
	text, err := os.ReadFile(h.log)
	if err != nil {
		return "", fmt.Errorf("read log of holdfast: %w", err)
	}
	return string(text), nil
}

// lastLog is the end of the log on one line.
func (h *Holdfast) lastLog() string {
	text, err := h.Logs()
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
