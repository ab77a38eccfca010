// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// raised is the nice value of server and clients while they are measured, both
// ways alike, where the user may raise it: what else a shared machine does then
// counts less. Filling the realms has none of it.
const raised = -15

// prioritize gives the server and this process, whose commands inherit it, a
// nice value. A user who may not raise it measures without.
func (b *bench) prioritize(value int) {
	for _, pid := range []int{os.Getpid(), b.cluster.Nodes[0].PID()} {
		// The value is one of each thread. A pattern that does not match is the only error.
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
		for _, task := range tasks {
			if id, err := strconv.Atoi(filepath.Base(task)); err == nil {
				_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, value)
			}
		}
	}
}
