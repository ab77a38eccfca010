// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/config/profile"
	"github.com/holdfast-dev/holdfast/recovery/recorder"
	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

type recoverySnapshotOptions struct {
	streams  genericiooptions.IOStreams
	flags    *clusterFlags
	profiles *profileFlags
	output   *outputFlag
	reason   string
}

func newRecoverySnapshotCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoverySnapshotOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "snapshot RESOURCE NAME...",
		Short: "Save objects as they are now, with all that belongs to them",
		Long: `Save objects as they are now, each with all that belongs to it by its profile:
its set. What is saved already is not saved again. An object that no profile
guards is saved alone. 'holdfast serve' is not needed.`,
		Example: `  holdfast recovery snapshot astarte astarte -n astarte
  holdfast recovery snapshot tier n0.small -n nuodb-cp-system --reason "before the upgrade"`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return o.run(quietly(cmd.Context()), args)
		},
	}
	o.flags = addClusterFlags(cmd)
	o.profiles = addProfileFlags(cmd.Flags(), "those that 'holdfast serve' runs with")
	o.output = addOutputFlag(cmd, outputTable, outputJSON, outputYAML, outputName)
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for whoever lists the snapshots later")
	return cmd
}

// snapshotTaken is what the command tells of one object.
type snapshotTaken struct {
	Snapshot snapshot.Record `json:"snapshot"`
	// Set is absent for an object to which nothing belongs.
	Set *snapshot.SetRecord `json:"set,omitempty"`
	// Recoverable is yes, no or partly, and why.
	Recoverable string `json:"recoverable"`
}

func (o *recoverySnapshotOptions) run(ctx context.Context, args []string) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	targets, err := c.targets(ctx, args)
	if err != nil {
		return c.explain(err)
	}
	set, err := o.profiles.forCluster(ctx, c)
	if err != nil {
		return err
	}
	store, err := c.snapshots()
	if err != nil {
		return err
	}
	from, look, err := newReader(c.config, set)
	if err != nil {
		return err
	}
	sets := &recorder.Sets{Profiles: set, Store: store, From: from, DefinitionVersion: look.kinds.DefinitionVersion}
	user := whoAmI(ctx, c).Username
	var all []snapshotTaken
	for _, t := range targets {
		// What it gives is noted with the snapshot, where it is known.
		_, _, _ = look.Define(ctx, t.mapping.Resource.GroupResource())
		taken, err := o.take(ctx, c, sets, t, user)
		if err != nil {
			return err
		}
		all = append(all, taken)
	}
	return o.print(all)
}

func (o *recoverySnapshotOptions) take(ctx context.Context, c *cluster, sets *recorder.Sets, t target, user string) (snapshotTaken, error) {
	object, err := c.dynamic.Resource(t.mapping.Resource).Namespace(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return snapshotTaken{}, usagef("there is no %s %s; 'kubectl get %s -A' lists those that exist", t.mapping.Resource.GroupResource(), strings.TrimPrefix(t.namespace+"/"+t.name, "/"), t.mapping.Resource.Resource)
	}
	if err != nil {
		return snapshotTaken{}, c.explain(err)
	}
	gr := t.mapping.Resource.GroupResource()
	guarded, ok := sets.Profiles.Guarded(gr)
	if !ok {
		guarded = &profile.Guarded{Resource: gr}
	}
	taken, err := sets.Take(ctx, guarded, object, snapshot.Provenance{
		Operation: "snapshot", User: user, Profile: guarded.Profile, Reason: o.reason,
		RestoreStatus: guarded.Restore.Status, RestoreOrder: guarded.Restore.Order,
	})
	if err != nil {
		return snapshotTaken{}, c.explain(err)
	}
	result := snapshotTaken{Snapshot: taken.Root, Recoverable: taken.Recoverable.String()}
	if taken.Set.ID != "" {
		result.Set = &taken.Set
	}
	return result, nil
}

func (o *recoverySnapshotOptions) print(all []snapshotTaken) error {
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, map[string]any{"items": all})
	}
	for i := range all {
		line := all[i].Snapshot.Path()
		if o.output.format != outputName {
			line = all[i].sentence()
		}
		if _, err := fmt.Fprintln(o.streams.Out, line); err != nil {
			return err
		}
	}
	return nil
}

// sentence tells what was saved.
func (t *snapshotTaken) sentence() string {
	r := &t.Snapshot
	text := fmt.Sprintf("%s %s saved as %s", r.Resource, strings.TrimPrefix(r.Namespace+"/"+r.Name, "/"), r.ID)
	if t.Set != nil {
		text += fmt.Sprintf(", in set %s of %s", t.Set.ID, objects(t.Set.Saved))
		if t.Set.Named > 0 {
			text += fmt.Sprintf(" and %d names", t.Set.Named)
		}
	}
	return text + ". Recoverable: " + printable(t.Recoverable)
}
