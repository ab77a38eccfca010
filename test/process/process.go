// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package process starts programs for tests that never outlive them: the
// kernel kills them when the process that started them is gone, however it
// went.
package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a program that runs, or has ended.
type Process struct {
	Cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Start starts the command. It gets its own process group: an interrupt typed
// on the terminal is this process's to answer.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &Process{Cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The signal is sent at the death of the thread that forked, not of the
		// process: this one must live as long as the command. It is not
		// unlocked, so it ends together with this goroutine.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Err is how the process ended, once it has.
func (p *Process) Err() error {
	<-p.ended
	return p.err
}
