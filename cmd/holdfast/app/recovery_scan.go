// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/rescue"
	"github.com/holdfast-dev/holdfast/recovery/scan"
)

type recoveryScanOptions struct {
	streams  genericiooptions.IOStreams
	flags    *clusterFlags
	profiles *profileFlags
	output   *outputFlag
}

// newRecoveryScanCmd is 'holdfast recovery scan'.
func newRecoveryScanCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryScanOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Find what is wrong or at risk, worst first",
		Long: `Find what is wrong or at risk with guarded objects and what they need, worst
first, each with the command that mends it. It only reads; 'holdfast serve' is
not needed. What cannot be read is said, and never taken for "nothing wrong".

Exit code 0: nothing was found. 1: something was found, or could not be read.`,
		Example: `  holdfast recovery scan
  holdfast recovery scan -o json | jq -r '.findings[] | select(.severity == "critical") | .mend'`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return o.run(quietly(cmd.Context()))
		},
	}
	o.flags = addClusterFlags(cmd)
	o.profiles = addProfileFlags(cmd.Flags(), "those that 'holdfast serve' runs with")
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML, outputName)
	return cmd
}

func (o *recoveryScanOptions) run(ctx context.Context) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	set, err := o.profiles.forCluster(ctx, c)
	if err != nil {
		return err
	}
	store, err := c.snapshots()
	if err != nil {
		return err
	}
	scanner := &scan.Scanner{Client: c.dynamic, Metadata: c.metadata, Snapshots: store, Profiles: set, Rescued: rescue.Astartes()}
	keeper, keeperErr := c.journals(ctx)
	if keeperErr == nil {
		scanner.Journals = keeper
	}
	report, err := scanner.Scan(ctx)
	if err != nil {
		return c.explain(err)
	}
	if keeperErr != nil {
		report.Unknown = append(report.Unknown, "unfinished recoveries: "+keeperErr.Error())
	}
	if err := o.print(report); err != nil {
		return err
	}
	switch {
	case len(report.Findings) > 0:
		return fmt.Errorf("found %s to look at", things(len(report.Findings)))
	case len(report.Unknown) > 0:
		return fmt.Errorf("nothing found, but %s could not be read", things(len(report.Unknown)))
	}
	return nil
}

func (o *recoveryScanOptions) print(report *scan.Report) error {
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, report)
	}
	for _, what := range report.Unknown {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "warning: not read, so not judged: %s\n", printable(what))
	}
	w := &lines{out: o.streams.Out}
	if o.output.format == outputName {
		for i := range report.Findings {
			f := &report.Findings[i]
			w.line("%s/%s", f.Resource, f.Name)
		}
		return w.err
	}
	for i := range report.Findings {
		f := &report.Findings[i]
		w.line("%s  %s", f.Severity, f)
		w.line("    %s.", printable(f.Detail))
		if f.Mend != "" {
			w.line("    -> %s", printable(f.Mend))
		}
	}
	if len(report.Findings) == 0 && w.err == nil {
		_, w.err = fmt.Fprintf(o.streams.ErrOut, "Nothing wrong with %s.\n", guardedObjects(report.Objects))
	}
	return w.err
}

func things(n int) string {
	if n == 1 {
		return "1 thing"
	}
	return fmt.Sprintf("%d things", n)
}

func guardedObjects(n int) string {
	if n == 1 {
		return "1 guarded object"
	}
	return fmt.Sprintf("%d guarded objects", n)
}
