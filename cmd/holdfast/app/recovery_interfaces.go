// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/purge"
)

type interfacesOptions struct {
	streams genericiooptions.IOStreams
	db      *cqlFlags
	output  *outputFlag
}

func newRecoveryInterfacesCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &interfacesOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "interfaces",
		Short: "List the Astarte interfaces of a realm as the database has them",
		Long: `List the interfaces of a realm of Astarte as the database has them: where their
data is and how much, sampled; which devices declare them, and what watches them.
Nothing is changed.`,
		Example: `  holdfast recovery interfaces --hosts db1,db2 --realm test
  holdfast recovery interfaces --astarte astarte -n astarte --realm test -o wide`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.db.readRealm(cmd.Context(), o.output, o.run)
		},
	}
	o.db = addCQLFlags(cmd)
	o.output = addOutputFlag(cmd, outputTable, outputWide, outputJSON, outputYAML, outputName)
	return cmd
}

func (o *interfacesOptions) run(ctx context.Context) error {
	db, err := o.db.open(ctx, o.streams.ErrOut)
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := purge.List(ctx, db, o.db.request())
	if err != nil {
		return err
	}
	if o.output.structured() {
		if all == nil {
			all = []purge.InterfaceSummary{}
		}
		return printStructured(o.streams.Out, o.output.format, all)
	}
	return o.print(all)
}

func (o *interfacesOptions) print(all []purge.InterfaceSummary) error {
	if o.output.format == outputName {
		for _, i := range all {
			if _, err := fmt.Fprintf(o.streams.Out, "%s/v%d\n", i.Name, i.Major); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(o.streams.ErrOut, "the realm has no interfaces")
		return err
	}
	header := []string{"INTERFACE", "MAJOR", "TYPE", "VALUES", "DEVICES", "CONNECTED", "TRIGGERS", "NOTE"}
	wide := o.output.format == outputWide
	if wide {
		header = append(header, "ID", "TABLE", "PATHS", "OWNERSHIP")
	}
	var rows [][]string
	for _, i := range all {
		row := []string{
			i.Name, strconv.Itoa(i.Major), i.Type, shortEstimate(i.Values), strconv.Itoa(i.Declaring), strconv.Itoa(i.Connected),
			strconv.Itoa(len(i.Triggers)), i.Note,
		}
		if wide {
			paths := "-"
			if i.Paths != nil {
				paths = shortEstimate(*i.Paths)
			}
			row = append(row, i.ID, i.Table, paths, i.Ownership)
		}
		rows = append(rows, row)
	}
	return printTable(o.streams.Out, header, rows)
}

func shortEstimate(e purge.Estimate) string {
	switch {
	case e.Failed != "":
		return "unknown"
	case e.Exact:
		return strconv.FormatInt(e.Count, 10)
	default:
		return "~" + strconv.FormatInt(e.Count, 10)
	}
}
