// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Command report reads what 'go test -json' prints and tells it shortly: a line
// for each package, the whole output of what failed, and in the end how many
// tests passed and failed. The specs of a Ginkgo suite count as tests.
//
// It exits with 1 when anything failed or was skipped, or when nothing was run
// at all: a suite that does not run has not passed.
package main

import (
	"fmt"
	"os"

	"golang.org/x/term"
)

func main() {
	r := newReport(os.Stdout, term.IsTerminal(int(os.Stdout.Fd())))
	err := r.read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
	}
	if !r.finish() || err != nil {
		os.Exit(1)
	}
}
