// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

type recoveryDiffOptions struct {
	streams genericiooptions.IOStreams
	flags   *clusterFlags
	reveal  bool
}

func newRecoveryDiffCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryDiffOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "diff ID [ID]",
		Short: "Compare a saved object with what is there now, or with another saved version",
		Long: `Compare a saved object with what is there now, or with another saved version,
field by field: "-" is what the first has, "+" what the other has. What the API
server writes by itself (uid, resourceVersion, generation, times, managedFields)
is left out. The values of Secrets are masked unless --reveal is given; that they
differ is shown.

The exit code is 0 if there is no difference, 1 if there is one, and more than 1
if something failed, as of 'kubectl diff'.`,
		Example: `  holdfast recovery diff 3x7kq2m5ab4cd6ef
  holdfast recovery diff 3x7kq2m5ab4cd6ef 5bq2ndzw4cxa7e6k`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			differs, err := o.run(quietly(cmd.Context()), args)
			switch {
			case err != nil && exitCode(err) == exitFailed:
				return &exitError{exitUsage, err} // 1 says that they differ
			case err != nil:
				return err
			case differs:
				return &exitError{exitFailed, errSilent}
			}
			return nil
		},
	}
	o.flags = addClusterFlags(cmd)
	cmd.Flags().BoolVar(&o.reveal, "reveal", false, "show the values of Secrets")
	return cmd
}

func (o *recoveryDiffOptions) run(ctx context.Context, args []string) (bool, error) {
	var named []namedSnapshot
	for _, arg := range args {
		id, err := snapshotID(arg)
		if err != nil {
			return false, err
		}
		named = append(named, id)
	}
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return false, err
	}
	store, err := c.snapshots()
	if err != nil {
		return false, err
	}
	var snaps []*snapshot.Snapshot
	for _, id := range named {
		snap, err := store.Get(ctx, id.id)
		if err != nil {
			return false, c.explain(unknownSnapshot(ctx, store, err, id.id))
		}
		if err := id.matches(&snap.Record); err != nil {
			return false, err
		}
		snaps = append(snaps, snap)
	}
	first := snaps[0]
	other := &unstructured.Unstructured{Object: map[string]any{}}
	title := "live"
	if len(snaps) == 2 {
		if snaps[1].Resource != first.Resource {
			return false, usagef("%s is of %s and %s of %s: there is nothing to compare", first.ID, first.Resource, snaps[1].ID, snaps[1].Resource)
		}
		other, title = snaps[1].Object, snaps[1].ID+", saved "+timestamp(snaps[1].SavedAt)
	} else if live, err := c.live(ctx, first); err != nil {
		return false, c.explain(err)
	} else if live == nil {
		title = "live: it is gone"
	} else {
		other = live
	}
	return o.print(first, other, title)
}

// live is what bears the name of the saved object now, in the version that was
// saved; nil if nothing does.
func (c *cluster) live(ctx context.Context, snap *snapshot.Snapshot) (*unstructured.Unstructured, error) {
	gv, err := schema.ParseGroupVersion(snap.APIVersion)
	if err != nil {
		return nil, err
	}
	mapping, err := c.mapper.RESTMappingWithContext(ctx, schema.GroupKind{Group: gv.Group, Kind: snap.Kind}, gv.Version)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	obj, err := c.dynamic.Resource(mapping.Resource).Namespace(snap.Namespace).Get(ctx, snap.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return obj, err
}

// print prints the differences, and says whether there are any.
func (o *recoveryDiffOptions) print(snap *snapshot.Snapshot, other *unstructured.Unstructured, title string) (bool, error) {
	w := &lines{out: o.streams.Out}
	differs := w.difference(side{fmt.Sprintf("%s, saved %s", snap.Path(), timestamp(snap.SavedAt)), snap.Object}, side{title, other}, o.reveal)
	return differs, w.err
}

// side is one side of a comparison.
type side struct {
	title  string
	object *unstructured.Unstructured // nil for none
}

// difference prints how two versions of an object differ, field by field, and
// says whether they do. The values of Secrets are masked unless reveal is set.
func (l *lines) difference(first, other side, reveal bool) bool {
	a, b := valuesOf(first.object), valuesOf(other.object)
	secret := isSecret(first.object) || isSecret(other.object)
	differs := false
	paths := maps.Clone(a)
	maps.Copy(paths, b)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		was, hadIt := a[path]
		is, hasIt := b[path]
		if hadIt == hasIt && was == is {
			continue
		}
		if !differs {
			l.line("--- %s", first.title)
			l.line("+++ %s", other.title)
		}
		differs = true
		if secret && !reveal && secretField(path) {
			was, is = masked, masked
		}
		if hadIt {
			l.line("- %s: %s", path, printable(was))
		}
		if hasIt {
			l.line("+ %s: %s", path, printable(is))
		}
	}
	return differs
}

// valuesOf are the values of obj by their paths, without what the API server
// writes by itself.
func valuesOf(obj *unstructured.Unstructured) map[string]string {
	if obj == nil {
		return map[string]string{}
	}
	obj = obj.DeepCopy()
	for _, field := range []string{
		"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields",
	} {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	found := map[string]string{}
	flatten(found, "", obj.Object)
	return found
}

func flatten(into map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			step := "." + key
			if strings.ContainsAny(key, "./ ") {
				step = fmt.Sprintf("[%q]", key)
			}
			flatten(into, path+step, item)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i, item := range v {
			flatten(into, fmt.Sprintf("%s[%d]", path, i), item)
		}
		if len(v) > 0 {
			return
		}
	}
	if path == "" {
		return
	}
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("?") // it came from JSON
	}
	into[path] = string(text)
}

// errSilent ends a command whose exit code says it all.
var errSilent = errors.New("")
