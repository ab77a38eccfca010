// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

type recoveryListOptions struct {
	streams genericiooptions.IOStreams
	flags   *clusterFlags
	output  *outputFlag
	sets    bool
}

func newRecoveryListCmd(streams genericiooptions.IOStreams) *cobra.Command {
	o := &recoveryListOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "list [RESOURCE [NAME]]",
		Short: "List the saved versions of objects, newest first",
		Long: `List the saved versions of objects of all namespaces, newest first.

The column STATE tells what is known of the object with this UID: its deletion
was attempted, it is deleted (with "bypass": without Holdfast being asked), it was
kept, this version is superseded by a later one, or it was restored from it.
The column NOW tells what bears its name now: it is present, is terminating, is
gone, or was replaced by another one.`,
		Example: `  holdfast recovery list
  holdfast recovery list tier n0.small -n nuodb-cp-system
  holdfast recovery list -o name | head -1 | xargs holdfast recovery restore --dry-run`,
		Args: usageArgs(cobra.MaximumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.output.validate(); err != nil {
				return err
			}
			return o.run(quietly(cmd.Context()), args)
		},
	}
	o.flags = addClusterFlags(cmd)
	o.output = addOutputFlag(cmd, outputTable, outputWide, outputJSON, outputYAML, outputName)
	cmd.Flags().BoolVar(&o.sets, "sets", false, "list the sets, each an object and all that belongs to it, instead")
	return cmd
}

// listed is one line of the list.
type listed struct {
	snapshot.Record
	Now presence `json:"now"`
}

func (o *recoveryListOptions) run(ctx context.Context, args []string) error {
	c, err := o.flags.connect(o.streams.ErrOut)
	if err != nil {
		return err
	}
	store, err := c.snapshots()
	if err != nil {
		return err
	}
	if o.sets {
		return o.listSets(ctx, c, store, args)
	}
	records, err := c.selectRecords(ctx, store, args)
	if err != nil {
		return c.explain(err)
	}
	if o.output.format == outputName {
		for _, r := range records {
			if _, err := fmt.Fprintln(o.streams.Out, r.Path()); err != nil {
				return err
			}
		}
		return nil
	}
	now, trouble := c.presences(ctx, records)
	list := make([]listed, len(records))
	for i, r := range records {
		list[i] = listed{r, cmp.Or(now[objectOf(&r)], unknown)}
	}
	for _, err := range trouble {
		_, _ = fmt.Fprintf(o.streams.ErrOut, "warning: %s\n", oneLine(err))
	}
	where := ""
	if len(list) == 0 {
		where = c.where(ctx)
	}
	return o.print(list, where)
}

// where says in which namespaces nothing was found: of the objects, if -n was
// given, and of Holdfast.
func (c *cluster) where(ctx context.Context) string {
	text := "in namespace " + c.holdfastNamespace
	if c.namespaceGiven {
		text = fmt.Sprintf("of objects in namespace %s, in namespace %s", c.namespace, c.holdfastNamespace)
	}
	_, err := c.kube.CoreV1().Namespaces().Get(ctx, c.holdfastNamespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		text += ", which does not exist; if Holdfast's is another, name it with --holdfast-namespace"
	}
	return text
}

func (o *recoveryListOptions) print(list []listed, where string) error {
	if o.output.structured() {
		return printStructured(o.streams.Out, o.output.format, map[string]any{"items": list})
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(o.streams.ErrOut, "No snapshots found %s.\n", where)
		return err
	}
	header := []string{"ID", "RESOURCE", "NAMESPACE", "NAME", "SAVED", "BY", "STATE", "NOW"}
	if o.output.format == outputWide {
		header = append(header, "OPERATION", "PROFILE", "SIZE", "UID", "RECOVERY")
	}
	rows := make([][]string, 0, len(list))
	for i := range list {
		rows = append(rows, o.row(&list[i]))
	}
	return printTable(o.streams.Out, header, rows)
}

func (o *recoveryListOptions) row(l *listed) []string {
	if l.Problem != "" {
		return []string{l.ID, dash(l.Resource), dash(l.Namespace), dash(l.Name), "-", "-", "-", "unreadable: " + l.Problem}
	}
	age := duration.HumanDuration(max(time.Since(l.LastAt()), 0))
	row := []string{l.ID, l.Resource, dash(l.Namespace), l.Name, age, dash(l.LastBy()), stateOf(&l.Record), string(l.Now)}
	if o.output.format == outputWide {
		row = append(row, dash(l.Operation), dash(l.Profile), fmt.Sprint(l.Size), string(l.UID), recoveryOf(l.Journal))
	}
	return row
}

// stateOf is what is known of the object, in two words at most.
func stateOf(r *snapshot.Record) string {
	if r.Bypass {
		return dash(string(r.State)) + " (bypass)"
	}
	return dash(string(r.State))
}

// recoveryOf is how far a recovery has come, in a few words.
func recoveryOf(j *snapshot.Journal) string {
	switch {
	case j == nil:
		return "-"
	case j.Open():
		return j.Operation + " unfinished"
	default:
		return j.Operation + " done"
	}
}

// dash is text for a column of a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

// printable is text on one line and without what a terminal would obey: the
// names of users and their reasons are anybody's text.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// selectRecords is the records that the arguments RESOURCE and NAME, and -n, select.
func (c *cluster) selectRecords(ctx context.Context, store *snapshot.Store, args []string) ([]snapshot.Record, error) {
	chosen, err := c.choose(ctx, store, args)
	if err != nil {
		return nil, err
	}
	records, err := store.List(ctx, chosen.filter)
	if err != nil {
		return nil, err
	}
	records = slices.DeleteFunc(records, func(r snapshot.Record) bool { return !chosen.takes(r.GroupResource()) })
	if chosen.filter.Name != "" && len(records) == 0 {
		return nil, usagef("there is no snapshot of %s; 'holdfast recovery list' shows those there are", chosen)
	}
	return records, nil
}

// choice is what the arguments RESOURCE and NAME, and -n, select.
type choice struct {
	filter snapshot.Filter
	// word is RESOURCE as it was given.
	word string
	// resources are those that it may mean; all if it was not given.
	resources []schema.GroupResource
}

// String names what was asked for.
func (s *choice) String() string {
	text := fmt.Sprintf("%s %q", s.word, s.filter.Name)
	if s.filter.Namespace != "" {
		text += " in namespace " + s.filter.Namespace
	}
	return text
}

func (s *choice) takes(gr schema.GroupResource) bool {
	return s.word == "" || slices.Contains(s.resources, gr)
}

// choose reads the arguments. Snapshots outlive the CustomResourceDefinition of
// their objects, so what the cluster does not have may still be meant.
func (c *cluster) choose(ctx context.Context, store *snapshot.Store, args []string) (*choice, error) {
	s := &choice{}
	var err error
	if s.word, s.filter.Name, err = resourceAndName(args); err != nil {
		return nil, err
	}
	if c.namespaceGiven {
		s.filter.Namespace = c.namespace
	}
	if s.word == "" {
		return s, nil
	}
	mapping, resolveErr := c.resolve(ctx, s.word)
	switch {
	case resolveErr == nil && mapping.Scope.Name() == meta.RESTScopeNameRoot:
		s.filter.Namespace = "" // as kubectl has it
		fallthrough
	case resolveErr == nil:
		s.resources = []schema.GroupResource{mapping.Resource.GroupResource()}
		return s, nil
	case exitCode(resolveErr) != exitUsage:
		return nil, resolveErr
	}
	called, all, err := savedResources(ctx, store, s.word)
	if err != nil {
		return nil, err
	}
	if s.resources = called; len(called) == 0 {
		return nil, unknownResource(all, resolveErr)
	}
	return s, nil
}

// resourceAndName reads RESOURCE, RESOURCE NAME or RESOURCE/NAME.
func resourceAndName(args []string) (resource, name string, err error) {
	switch len(args) {
	case 0:
		return "", "", nil
	case 1:
		resource, name, _ = strings.Cut(args[0], "/")
	default:
		resource, name = args[0], args[1]
	}
	if resource == "" || strings.Contains(name, "/") || (len(args) == 2 && (name == "" || strings.Contains(resource, "/"))) {
		return "", "", usagef("%q is not RESOURCE [NAME]", strings.Join(args, " "))
	}
	return resource, name, nil
}
