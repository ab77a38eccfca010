// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

type recoveryShowOptions struct {
	streams genericiooptions.IOStreams
	flags   *clusterFlags
	output  *outputFlag
	reveal  bool
}

func newRecoveryShowCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryShowOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print a saved object and why it was saved",
		Long: `Print a saved object and why it was saved. The values of Secrets are masked
unless --reveal is given; managedFields are left out, as kubectl leaves them out.`,
		Example: `  holdfast recovery show 3x7kq2m5ab4cd6ef`,
		Args:    usageArgs(oneID),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return o.run(quietly(cmd.Context()), args[0])
		},
	}
	o.flags = addClusterFlags(cmd)
	o.output = addOutputFlag(cmd, outputYAML, outputJSON, outputName)
	cmd.Flags().BoolVar(&o.reveal, "reveal", false, "show the values of Secrets")
	return cmd
}

func (o *recoveryShowOptions) run(ctx context.Context, arg string) error {
	id, err := snapshotID(arg)
	if err != nil {
		return err
	}
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	store, err := c.snapshots()
	if err != nil {
		return err
	}
	snap, err := store.Get(ctx, id.id)
	if err != nil {
		return c.explain(unknownSnapshot(ctx, store, err, id.id))
	}
	if err := id.matches(&snap.Record); err != nil {
		return err
	}
	return o.print(snap)
}

func (o *recoveryShowOptions) print(snap *snapshot.Snapshot) error {
	obj := snap.Object.DeepCopy()
	unstructured.RemoveNestedField(obj.Object, "metadata", "managedFields")
	hidden := !o.reveal && mask(obj)
	switch o.output.format {
	case outputName:
		_, err := fmt.Fprintln(o.streams.Out, snap.Path())
		return err
	case outputJSON:
		return printStructured(o.streams.Out, outputJSON, map[string]any{"snapshot": snap.Record, "object": obj.Object})
	}
	var text bytes.Buffer
	for _, line := range provenance(&snap.Record, hidden) {
		text.WriteString("# " + printable(line) + "\n") // no line may end its comment early
	}
	if err := printStructured(&text, outputYAML, obj.Object); err != nil {
		return err
	}
	_, err := o.streams.Out.Write(text.Bytes())
	return err
}

// oneID takes one argument; those who name an object instead are told where its
// snapshots are.
func oneID(cmd *cobra.Command, args []string) error {
	if len(args) == 2 && !snapshot.ValidID(args[0]) {
		return fmt.Errorf("%q is not the ID of a snapshot; 'holdfast recovery list %s' shows those of that object", args[0], strings.Join(args, " "))
	}
	return cobra.ExactArgs(1)(cmd, args)
}

// provenance is why r was saved, as lines of a comment.
func provenance(r *snapshot.Record, hidden bool) []string {
	lines := []string{
		fmt.Sprintf("Snapshot %s of %s %s, uid %s", r.ID, r.Resource, strings.TrimPrefix(r.Namespace+"/"+r.Name, "/"), r.UID),
		"Saved at " + timestamp(r.SavedAt) + because(r.Operation, r.User, r.Reason, r.Approval),
	}
	if a := r.LastAttempt; a != nil {
		lines = append(lines, "Again at "+timestamp(a.At)+because(a.Operation, a.User, a.Reason, a.Approval))
	}
	if version := versions(r); version != "" {
		lines = append(lines, "Version: "+version)
	}
	if r.State != "" {
		lines = append(lines, fmt.Sprintf("State: %s, since %s", stateOf(r), timestamp(r.StateAt)))
	}
	if j := r.Journal; j != nil {
		line := fmt.Sprintf("Recovery: %s, %s", recoveryOf(j), timestamp(j.At))
		if j.NewUID != "" {
			line += ", new uid " + string(j.NewUID)
		}
		lines = append(lines, line)
	}
	if hidden {
		lines = append(lines, "Its values are masked; --reveal shows them")
	}
	return lines
}

// versions are the versions of the object and of its definition.
func versions(r *snapshot.Record) string {
	var all []string
	if r.ResourceVersion != "" {
		all = append(all, "resource version "+r.ResourceVersion)
	}
	if r.Generation != 0 {
		all = append(all, fmt.Sprintf("generation %d", r.Generation))
	}
	if r.CRDVersion != "" {
		all = append(all, "resource version of its CustomResourceDefinition "+r.CRDVersion)
	}
	return strings.Join(all, ", ")
}

// because is the rest of a line that says when something was saved.
func because(operation, user, reason, approval string) string {
	text := ""
	switch operation {
	case "":
	case "change":
		text += ", when it changed"
	case "snapshot":
		text += ", on request"
	default:
		text += ", before " + operation
	}
	if user != "" {
		text += " by " + user
	}
	if approval != "" {
		text += ", approved by " + approval
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}
