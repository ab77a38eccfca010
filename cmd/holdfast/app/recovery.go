// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// newRecoveryCmd groups the commands that find damage and mend it.
func newRecoveryCmd(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Find what was lost, and bring it back",
	}
	asGroup(cmd)
	cmd.AddCommand(newRecoveryScanCmd(streams))
	cmd.AddCommand(newRecoveryListCmd(streams))
	cmd.AddCommand(newRecoveryShowCmd(streams))
	cmd.AddCommand(newRecoverySnapshotCmd(streams))
	cmd.AddCommand(newRecoveryDiffCmd(streams))
	cmd.AddCommand(newRecoveryPinCmd(streams), newRecoveryUnpinCmd(streams), newRecoveryPruneCmd(streams))
	cmd.AddCommand(newRecoveryUndoCmd(streams))
	cmd.AddCommand(newRecoveryRestoreCmd(streams))
	cmd.AddCommand(newRecoveryInterfacesCmd(streams))
	cmd.AddCommand(newRecoveryPurgeInterfaceCmd(streams))
	cmd.AddCommand(newRecoveryRestoreInterfaceCmd(streams))
	cmd.AddCommand(newRecoveryFindOrphansCmd(streams))
	return cmd
}
