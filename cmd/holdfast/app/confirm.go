// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// confirmation is what stands between a plan and its execution.
type confirmation struct {
	streams genericiooptions.IOStreams
	// yes is --yes: the question is answered already.
	yes bool
}

// possible says that somebody can answer, or has.
func (c confirmation) possible() bool { return c.yes || isTerminal(c.streams.In) }

// ask returns without error if the answer to question is yes. Anything else,
// the end of the input included, is no.
func (c confirmation) ask(question string) error {
	if c.yes {
		return nil
	}
	if !isTerminal(c.streams.In) {
		return &exitError{exitUnconfirmed, errors.New("nothing was changed: there is no terminal to ask on; add --yes to do it")}
	}
	if _, err := fmt.Fprintf(c.streams.ErrOut, "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c.streams.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exitError{exitUnconfirmed, errors.New("nothing was changed: the answer was not yes")}
}

// isTerminal says that a person can be asked on in.
func isTerminal(in io.Reader) bool {
	switch in := in.(type) {
	case *os.File:
		return term.IsTerminal(int(in.Fd()))
	case interface{ IsTerminal() bool }: // a stream that stands for one
		return in.IsTerminal()
	default:
		return false
	}
}
