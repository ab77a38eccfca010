// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

type recoveryPinOptions struct {
	streams genericiooptions.IOStreams
	flags   *clusterFlags
	reason  string
	unpin   bool
}

func newRecoveryPinCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryPinOptions{streams: streams}
	cmd := o.command("pin ID...", "Keep saved versions, whatever their age and number")
	cmd.Example = "  holdfast recovery pin 3x7kq2m5ab4cd6ef --reason 'before the migration'"
	cmd.Flags().StringVar(&o.reason, "reason", "", "why they are to stay")
	return cmd
}

func newRecoveryUnpinCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryPinOptions{streams: streams, unpin: true}
	cmd := o.command("unpin ID...", "Take back what 'pin' asked for")
	cmd.Example = "  holdfast recovery unpin 3x7kq2m5ab4cd6ef"
	return cmd
}

func (o *recoveryPinOptions) command(use, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  usageArgs(cobra.MinimumNArgs(1)),
		RunE:  func(cmd *cobra.Command, args []string) error { return o.run(quietly(cmd.Context()), args) },
	}
	o.flags = addClusterFlags(cmd)
	return cmd
}

func (o *recoveryPinOptions) run(ctx context.Context, args []string) error {
	var ids []string
	for _, arg := range args {
		named, err := snapshotID(arg)
		if err != nil {
			return err
		}
		ids = append(ids, named.id)
	}
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	store, err := c.snapshots()
	if err != nil {
		return err
	}
	var pin *snapshot.Pin
	done := "unpinned"
	if !o.unpin {
		pin, done = &snapshot.Pin{User: whoAmI(ctx, c).Username, Reason: o.reason}, "pinned"
	}
	for i, id := range ids {
		if err := store.SetPin(ctx, id, pin); err != nil {
			err = c.explain(unknownSnapshot(ctx, store, err, id))
			if i > 0 {
				return &exitError{exitPartly, fmt.Errorf("%d of %s are %s; then: %w", i, snapshots(len(ids)), done, err)}
			}
			return err
		}
		if _, err := fmt.Fprintf(o.streams.Out, "%s: %s\n", id, done); err != nil {
			return err
		}
	}
	return nil
}
