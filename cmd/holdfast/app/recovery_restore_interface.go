// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/purge"
)

type restoreInterfaceOptions struct {
	streams genericiooptions.IOStreams
	db      *cqlFlags
	output  *outputFlag
	backup  string
	dryRun  bool
	yes     bool
}

func newRecoveryRestoreInterfaceCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &restoreInterfaceOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "restore-interface",
		Short: "Bring back an Astarte interface and its data from a backup of purge-interface",
		Long: `Bring back what 'holdfast recovery purge-interface --backup DIR' has saved: the
interface, its data and its table, with fresh timestamps; values that would have
expired meanwhile are left out. Everything is read back and compared.

The interface's row comes last, so a restore that was interrupted is begun again
by running the same command.`,
		Example: `  holdfast recovery restore-interface --hosts db1 --backup ./values-v1 --dry-run
  holdfast recovery restore-interface --hosts db1 --backup ./values-v1 --yes`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return purgeError(o.run(cmd.Context()))
		},
	}
	o.db = addCQLFlags(cmd)
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML)
	cmd.Flags().StringVar(&o.backup, "backup", "", "folder of the backup")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be restored and stop")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

func (o *restoreInterfaceOptions) validate() error {
	if err := o.output.validate(); err != nil {
		return err
	}
	if o.backup == "" {
		return usagef("--backup is missing: name the folder that purge-interface --backup wrote")
	}
	var err error
	if o.backup, err = filepath.Abs(o.backup); err != nil {
		return usagef("find folder %q: %w", o.backup, err)
	}
	return o.db.validateConnection()
}

func (o *restoreInterfaceOptions) run(ctx context.Context) error {
	db, err := o.db.open(ctx, o.streams.ErrOut)
	if err != nil {
		return err
	}
	defer db.Close()
	plan, err := purge.PlanRestore(ctx, db, o.backup)
	if err != nil {
		return err
	}
	if o.dryRun {
		if o.output.structured() {
			return printStructured(o.streams.Out, o.output.format, plan)
		}
		return o.printPlan(o.streams.Out, plan)
	}
	if plan.Done {
		_, err := fmt.Fprintf(o.streams.ErrOut, "%s was restored from this backup before; nothing to do\n", plan.Title)
		return err
	}
	if err := o.printPlan(o.streams.ErrOut, plan); err != nil {
		return err
	}
	if err := (confirmation{streams: o.streams, yes: o.yes}).ask(ctx, "Restore it?"); err != nil {
		return err
	}
	shown := newProgress(o.streams.ErrOut, isTerminalWriter(o.streams.ErrOut))
	report, err := purge.Restore(ctx, db, plan, purge.Options{Consistency: o.db.level(), Observe: shown.observe})
	shown.end()
	if err != nil {
		if !errors.Is(err, purge.ErrIncomplete) {
			err = &exitError{exitPartly, fmt.Errorf("%w; the restore is not complete: run the same command again", err)}
		}
		return err
	}
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, report)
	}
	return o.printReport(report)
}

func (o *restoreInterfaceOptions) printPlan(out io.Writer, p *purge.RestorePlan) error {
	if _, err := fmt.Fprintf(out, "Restore: %s into keyspace %s from %s\n", p.Title, p.Keyspace, p.Backup); err != nil {
		return err
	}
	var rows [][]string
	for _, t := range p.Tables {
		note := ""
		if t.Table == p.Creates {
			note = "the table is created"
		}
		rows = append(rows, []string{t.Table, strconv.FormatInt(t.Rows, 10), note})
	}
	if err := printTable(out, []string{"TABLE", "ROWS", "NOTE"}, rows); err != nil {
		return err
	}
	for _, note := range p.Notes {
		if _, err := fmt.Fprintf(out, "Note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}

func (o *restoreInterfaceOptions) printReport(r *purge.RestoreReport) error {
	_, err := fmt.Fprintf(o.streams.Out, "Restored %s: %d rows, all of them read back and compared\n", r.Title, r.Rows)
	if err == nil && r.Expired > 0 {
		_, err = fmt.Fprintf(o.streams.Out, "Left out: %d values whose time to live has ended meanwhile\n", r.Expired)
	}
	for i, next := range r.Next {
		if err == nil {
			_, err = fmt.Fprintf(o.streams.Out, "Next %d: %s\n", i+1, next)
		}
	}
	return err
}
