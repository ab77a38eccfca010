// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bufio"
	"context"
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
func (c confirmation) ask(ctx context.Context, question string) error {
	if c.yes {
		return nil
	}
	if !isTerminal(c.streams.In) {
		return unconfirmed("there is no terminal to ask on; add --yes to do it")
	}
	answer, err := c.answer(ctx, question+" [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return unconfirmed("the answer was not yes")
}

// typed has the user type the name of what cannot be taken back, for a yes is
// too quickly typed. The hint says what to add where nobody can be asked.
func (c confirmation) typed(ctx context.Context, purpose, name, hint string) error {
	if c.yes {
		return nil
	}
	if !isTerminal(c.streams.In) {
		return unconfirmed("there is no terminal to ask on; read the plan above, then add " + hint)
	}
	answer, err := c.answer(ctx, fmt.Sprintf("Type %s to %s, anything else to leave it: ", name, purpose))
	if err != nil {
		return err
	}
	if answer != name {
		return unconfirmed("what was typed is not " + name)
	}
	return nil
}

// answer is the next line of the input. It does not outlast ctx, which ends
// with the interrupt of somebody who would rather not answer.
func (c confirmation) answer(ctx context.Context, question string) (string, error) {
	if _, err := fmt.Fprint(c.streams.ErrOut, question); err != nil {
		return "", err
	}
	var line string
	read := make(chan error, 1)
	go func() {
		var err error
		line, err = bufio.NewReader(c.streams.In).ReadString('\n')
		read <- err
	}()
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(c.streams.ErrOut)
		return "", unconfirmed("interrupted before an answer")
	case err := <-read:
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", err)
		}
		return strings.TrimSpace(line), nil
	}
}

// unconfirmed is that what was planned was not agreed to.
func unconfirmed(why string) error {
	return &exitError{exitUnconfirmed, errors.New("nothing was changed: " + why)}
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
