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

type findOrphansOptions struct {
	streams genericiooptions.IOStreams
	db      *cqlFlags
	output  *outputFlag
}

func newRecoveryFindOrphansCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &findOrphansOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "find-orphans",
		Short: "List data of a realm that belongs to no Astarte interface",
		Long: `List the interface ids that have data or endpoints but no interface, and the
object tables that no interface uses: what is left when an interface was deleted
by hand. All keys of the realm are read; nothing is changed.

What has a name is removed with 'holdfast recovery purge-interface --orphan'.`,
		Example: `  holdfast recovery find-orphans --hosts db1 --realm test`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.db.readRealm(cmd.Context(), o.output, o.run)
		},
	}
	o.db = addCQLFlags(cmd)
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML, outputName)
	return cmd
}

func (o *findOrphansOptions) run(ctx context.Context) error {
	db, err := o.db.open(ctx, o.streams.ErrOut)
	if err != nil {
		return err
	}
	defer db.Close()
	shown := newProgress(o.streams.ErrOut, isTerminalWriter(o.streams.ErrOut))
	found, err := purge.FindOrphans(ctx, db, o.db.request(), purge.Options{Consistency: o.db.level(), Observe: shown.observe})
	shown.end()
	if err != nil {
		return err
	}
	switch {
	case o.output.structured():
		if found == nil {
			found = []purge.Orphan{}
		}
		return printStructured(o.streams.Out, o.output.format, found)
	case len(found) == 0:
		_, err := fmt.Fprintln(o.streams.ErrOut, "no orphans: all data of the realm belongs to an interface")
		return err
	case o.output.format == outputName:
		return o.printNames(found)
	}
	var rows [][]string
	for _, f := range found {
		name, what := "unknown", f.ID
		if f.Name != "" {
			name = purge.Title(f.Name, f.Major)
		}
		if f.Table != "" {
			what = "table " + f.Table
		}
		rows = append(rows, []string{name, what, strconv.FormatInt(f.Datastreams, 10), strconv.FormatInt(f.Properties, 10), strconv.FormatInt(f.Endpoints, 10), f.Note})
	}
	return printTable(o.streams.Out, []string{"INTERFACE", "WHAT", "DATASTREAMS", "PROPERTIES", "ENDPOINTS", "NOTE"}, rows)
}

func (o *findOrphansOptions) printNames(found []purge.Orphan) error {
	for _, f := range found {
		name := f.ID
		switch {
		case f.Table != "":
			name = f.Table
		case f.Name != "":
			name = fmt.Sprintf("%s/v%d", f.Name, f.Major)
		}
		if _, err := fmt.Fprintln(o.streams.Out, name); err != nil {
			return err
		}
	}
	return nil
}
