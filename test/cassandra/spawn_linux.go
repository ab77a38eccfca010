// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cassandra

import (
	"os/exec"
	"runtime"
	"syscall"
)

// spawn starts the command so that the kernel kills it when this process is
// gone, however it went. It gets its own process group: an interrupt typed on
// the terminal is this process's to answer.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &process{cmd: cmd, ended: make(chan struct{})}
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
