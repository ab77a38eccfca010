// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"errors"
	"fmt"
	"strconv"
)

// InputError means that what the user named is wrong or is not there; nothing
// was changed.
type InputError struct{ message string }

func (e *InputError) Error() string { return e.message }

func inputf(format string, args ...any) error {
	return &InputError{fmt.Sprintf(format, args...)}
}

// ErrReinstalled means that the interface was installed again since the purge
// began.
var ErrReinstalled = errors.New("the interface was installed again since this purge began")

// ErrIncomplete means that the purge did what it could, and something is left.
var ErrIncomplete = errors.New("the purge is not complete")

// ErrDigest means that the plan is not the one that was confirmed.
var ErrDigest = errors.New("the confirmed digest is of another plan")

// StoppedError means that a purge which has changed something stopped before
// its end. The same command goes on with it.
type StoppedError struct{ err error }

func (e *StoppedError) Error() string { return e.err.Error() }
func (e *StoppedError) Unwrap() error { return e.err }

func itoa(n int) string { return strconv.Itoa(n) }

func isInput(err error) bool {
	var e *InputError
	return errors.As(err, &e)
}
