// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
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

// printStructured prints v as format, json or yaml.
func printStructured(out io.Writer, format string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if format == outputYAML {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return err
		}
	}
	_, err = out.Write(data)
	return err
}
