// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

// Package app holds the commands of holdfast, one a file. It is the only
// package that knows flags, cobra and terminals; it wires all others and is
// imported by nothing but main.
package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Main runs the command line args and returns the exit code of the process.
// An error is printed to the error stream as one line.
func Main(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	cmd := newRootCmd(streams) //nolint:contextcheck // the commands take theirs from ExecuteContext
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSilent) {
		_, _ = fmt.Fprintln(streams.ErrOut, "holdfast: "+oneLine(err))
	}
	return exitCode(err)
}

func newRootCmd(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "holdfast",
		Short: "Keep Kubernetes objects that others depend on from being deleted, and bring them back",
		// Errors are printed once, by Main; a usage text after a failure hides its reason.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	asGroup(cmd)
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	cmd.SetFlagErrorFunc(flagError)
	cmd.AddCommand(newServeCmd(streams, serve), newExplainCmd(streams), newVersionCmd(streams), newRecoveryCmd(streams),
		newApproveCmd(streams), newPauseCmd(streams), newResumeCmd(streams))
	return cmd
}

// flagError makes the complaints about flags usage errors.
func flagError(cmd *cobra.Command, err error) error {
	return usagef("%w; see '%s --help'", err, cmd.CommandPath())
}

// asGroup makes cmd a group of commands: alone it shows its help, and a word
// that is none of its commands is an error, not a page of help.
func asGroup(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf("; did you mean '%s %s'?", cmd.CommandPath(), near[0])
		}
		return usagef("unknown command %q%s; see '%s --help'", args[0], hint, cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// oneLine is err on one line, however many its parts were printed on.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// usageArgs makes the complaints of a cobra argument check usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w; see '%s --help'", err, cmd.CommandPath())
		}
		return nil
	}
}
