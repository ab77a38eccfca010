// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The processes are started through links to this program, which bear their
// names: envtest does the starting and cannot be told to make the kernel kill
// its children together with their parent.
const (
	envBin        = "HOLDFAST_CONTROLPLANE_BIN"
	envSupervisor = "HOLDFAST_CONTROLPLANE_SUPERVISOR"
)

// processes are the names of what runs.
func processes() []string { return []string{"etcd", "kube-apiserver", "kube-controller-manager"} }

// become turns this process into the binary of that name, killed by the kernel
// when the supervisor is gone. It returns only if it cannot.
func become(name string) error {
	// The setting belongs to a thread, and exec keeps that of the calling one.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie %s to the supervisor: %w", name, err)
	}
	// The supervisor may have gone before that.
	if parent := os.Getenv(envSupervisor); strconv.Itoa(os.Getppid()) != parent {
		return fmt.Errorf("run %s: supervisor %q is gone", name, parent)
	}
	path := filepath.Join(os.Getenv(envBin), name)
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, append([]string{name}, os.Args[1:]...), os.Environ()))
}

// children are the processes whose parent is this one and whose program bears
// the name; all of them when the name is empty.
func children(name string) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		// PID (NAME) STATE PPID …; the name is cut to 15 characters and may hold
		// anything, so it ends at the last parenthesis.
		pid, rest, _ := strings.Cut(string(text), " (")
		end := strings.LastIndex(rest, ") ")
		if end < 0 {
			continue
		}
		fields := strings.Fields(rest[end+2:])
		if len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if name != "" && rest[:end] != name[:min(len(name), 15)] {
			continue
		}
		n, err := strconv.Atoi(pid)
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		pids = append(pids, n)
	}
	return pids, nil
}

// kill ends this process's children of that name at once; what they hold is
// thrown away, or is safe in etcd.
func kill(name string) error {
	pids, err := children(name)
	for _, pid := range pids {
		if killErr := syscall.Kill(pid, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill process %d: %w", pid, killErr))
		}
	}
	return err
}
