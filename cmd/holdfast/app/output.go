// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

const (
	outputTable = "table"
	outputWide  = "wide"
	outputJSON  = "json"
	outputYAML  = "yaml"
	outputName  = "name"
)

// outputFlag is -o of one command.
type outputFlag struct {
	format  string
	formats []string
}

// addOutputFlag adds -o to cmd; the first of formats is the default.
func addOutputFlag(cmd *cobra.Command, formats ...string) *outputFlag {
	f := &outputFlag{formats: formats}
	cmd.Flags().StringVarP(&f.format, "output", "o", formats[0], "one of "+strings.Join(formats, ", "))
	return f
}

func (f *outputFlag) validate() error {
	if !slices.Contains(f.formats, f.format) {
		return usagef("unknown output format %q; -o takes one of %s", f.format, strings.Join(f.formats, ", "))
	}
	return nil
}

// structured says that the output is for programs, as a whole.
func (f *outputFlag) structured() bool { return f.format == outputJSON || f.format == outputYAML }

// printTable prints rows below header in columns.
func printTable(out io.Writer, header []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}
