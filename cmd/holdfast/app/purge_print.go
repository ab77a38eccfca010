// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/holdfast-dev/holdfast/recovery/purge"
)

// isTerminalWriter says that a person looks at out.
func isTerminalWriter(out io.Writer) bool {
	switch out := out.(type) {
	case *os.File:
		return term.IsTerminal(int(out.Fd()))
	case interface{ IsTerminal() bool }: // a stream that stands for one
		return out.IsTerminal()
	default:
		return false
	}
}

func (o *purgeInterfaceOptions) printPlan(out io.Writer, plan *purge.Plan) error {
	if o.output.structured() {
		return printStructured(out, o.output.format, plan)
	}
	return printPlanTable(out, plan)
}

// printPlanTable shows a plan to a person: what it is, what there is of it, and
// what speaks against it, in the order in which they must be read.
func printPlanTable(out io.Writer, p *purge.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan: purge %s from keyspace %s of cluster %q (%s, %d nodes)\n", p.Confirm, p.Keyspace, p.Cluster.Name, p.Cluster.Server, len(p.Cluster.Nodes))
	if p.Resumes != "" {
		fmt.Fprintf(&b, "This goes on with the purge that was begun in %s\n", p.Resumes)
	}
	row := "in the database"
	if !p.Iface.RowExists {
		row = "no row in the database"
	}
	fmt.Fprintf(&b, "Interface: %s v%d.%d, %s, %s, id %s, %s\n\n", p.Iface.Name, p.Iface.Major, p.Iface.Minor, p.Iface.Type, p.Iface.Storage, p.Iface.ID, row)
	if _, err := io.WriteString(out, b.String()); err != nil {
		return err
	}
	var rows [][]string
	for _, t := range p.Traces {
		what := t.Kind
		if t.Group != "" {
			what += " " + t.Group
		}
		rows = append(rows, []string{t.Table, what, estimateText(t), t.Action})
	}
	if err := printTable(out, []string{"TABLE", "WHAT", "HOW MANY", "WILL"}, rows); err != nil {
		return err
	}
	b.Reset()
	fmt.Fprintf(&b, "\nDevices: %d in the realm, %d connected; %d declare this interface, %d did before\n", p.Devices.Total, p.Devices.Connected, p.Devices.Declaring, p.Devices.Previously)
	if len(p.Devices.Devices) > 0 {
		fmt.Fprintf(&b, "  declaring it: %s\n", firstOf(p.Devices.Devices, 5))
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "Note: %s\n", note)
	}
	for _, d := range p.Dangers {
		allow := "accepted with " + d.Allow
		if d.Allow == "" {
			allow = "nothing overrides this"
		}
		fmt.Fprintf(&b, "DANGER %s: %s (%s)\n", d.Kind, d.Detail, allow)
	}
	fmt.Fprintf(&b, "Digest: %s\n", p.Digest)
	_, err := io.WriteString(out, b.String())
	return err
}

func estimateText(t purge.Trace) string {
	switch {
	case t.Unknown != "":
		return "unknown: " + t.Unknown
	case t.Exact:
		return strconv.FormatInt(t.Estimate, 10)
	default:
		return fmt.Sprintf("about %d (%d to %d)", t.Estimate, t.Low, t.High)
	}
}

func firstOf(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

func printStatements(out io.Writer, plan *purge.Plan, options purge.Options) error {
	for _, line := range plan.CQL(options) {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// printReport prints what was done, to standard output.
func (o *purgeInterfaceOptions) printReport(r *purge.Report) error {
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, r)
	}
	var b strings.Builder
	status := "Purged"
	switch {
	case o.options.Shard.Role == purge.RolePrepare:
		status = "Prepared the purge of"
	case o.options.Shard.Role == purge.RoleSweep:
		status = "Swept shard " + o.shard + " of"
	case !r.Complete:
		status = "NOT complete: the purge of"
	}
	fmt.Fprintf(&b, "%s %s in %s\n", status, r.Title, time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond))
	fmt.Fprintf(&b, "Deleted: %d partitions of datastreams and %d of properties and paths, in %d sweeps", r.Deleted.Datastreams, r.Deleted.Properties, r.Sweeps)
	if r.Dropped != "" {
		fmt.Fprintf(&b, "; dropped table %s", r.Dropped)
	}
	fmt.Fprintf(&b, "\nJournal: %s\n", r.Journal)
	if r.Backup != "" {
		fmt.Fprintf(&b, "Backup: %s\n", r.Backup)
	}
	for _, column := range r.Unknown {
		fmt.Fprintf(&b, "Backup: this server does not tell TTL and write time of %s; restored, its values do not expire\n", column)
	}
	for _, l := range r.Leftovers {
		fmt.Fprintf(&b, "LEFT in %s: %s%s\n", l.Table, l.Key, leftoverText(l))
	}
	if len(r.Next) > 0 {
		b.WriteString("Next:\n")
	}
	for i, next := range r.Next {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, next)
	}
	_, err := io.WriteString(o.streams.Out, b.String())
	return err
}

func leftoverText(l purge.Leftover) string {
	text := ""
	if l.Written != "" {
		text += ", written at " + l.Written
	}
	if l.Reason != "" {
		text += ", " + l.Reason
	}
	return text
}
