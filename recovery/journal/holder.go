// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Holder is a process that works on a recovery.
type Holder struct {
	User string `json:"user"`
	Host string `json:"host"`
	// Space tells process numbers apart that are counted apart, as in containers.
	Space   string `json:"space,omitempty"`
	Process int    `json:"process"`
}

// Self is this process, working for user.
func Self(user string) Holder {
	host, _ := os.Hostname()
	space, _ := os.Readlink("/proc/self/ns/pid") // empty where there are none
	return Holder{User: user, Host: host, Space: space, Process: os.Getpid()}
}

// String names the holder as messages do.
func (h Holder) String() string {
	return fmt.Sprintf("%s (process %d on %s)", h.User, h.Process, h.Host)
}

// dead says that h is surely not running any more, which can be known only
// where it ran.
func (h Holder) dead(self Holder) bool {
	if h.Host != self.Host || h.Space != self.Space {
		return false
	}
	p, err := os.FindProcess(h.Process)
	if err != nil {
		return false
	}
	return errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// BusyError says that another run is at work.
type BusyError struct {
	Operation, Target string
	Holder            Holder
	Since, Seen       time.Time
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("another run is at work on the %s of %s: %s, since %s, last sign of life at %s; wait for it, or end it and run this again %s later",
		e.Operation, e.Target, e.Holder, e.Since.UTC().Format(time.RFC3339), e.Seen.UTC().Format(time.RFC3339), patience)
}
