// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/holdfast-dev/holdfast/recovery/snapshot"
)

// listSets prints the sets whose roots the arguments select.
func (o *recoveryListOptions) listSets(ctx context.Context, c *cluster, store *snapshot.Store, args []string) error {
	sets, err := c.selectSets(ctx, store, args)
	if err != nil {
		return c.explain(err)
	}
	switch {
	case o.output.format == outputName:
		for i := range sets {
			if _, err := fmt.Fprintln(o.streams.Out, sets[i].Path()); err != nil {
				return err
			}
		}
		return nil
	case o.output.structured():
		return printStructured(o.streams.Out, o.output.format, map[string]any{"items": sets})
	case len(sets) == 0:
		_, err := fmt.Fprintf(o.streams.ErrOut, "No sets found %s.\n", c.where(ctx))
		return err
	}
	header := []string{"SET", "RESOURCE", "NAMESPACE", "NAME", "TAKEN", "SAVED", "NAMES", "COMPLETE", "RECOVERABLE"}
	if o.output.format == outputWide {
		header = append(header, "OPERATION", "BY", "UID", "WHY")
	}
	var rows [][]string
	for i := range sets {
		rows = append(rows, o.setRow(&sets[i]))
	}
	return printTable(o.streams.Out, header, rows)
}

func (o *recoveryListOptions) setRow(s *snapshot.SetRecord) []string {
	if s.Problem != "" {
		return []string{s.ID, dash(s.Resource), dash(s.Namespace), dash(s.Name), "-", "-", "-", "-", "unreadable: " + s.Problem}
	}
	complete := "no"
	if s.Complete {
		complete = "yes"
	}
	age := duration.HumanDuration(max(time.Since(s.LastAt), 0))
	row := []string{s.ID, s.Resource, dash(s.Namespace), s.Name, age, fmt.Sprint(s.Saved), fmt.Sprint(s.Named), complete, s.Recoverable}
	if o.output.format == outputWide {
		row = append(row, dash(s.Operation), dash(s.User), string(s.UID), dash(strings.Join(s.Reasons, "; ")))
	}
	return row
}

// selectSets is the sets that the arguments RESOURCE and NAME, and -n, select.
func (c *cluster) selectSets(ctx context.Context, store *snapshot.Store, args []string) ([]snapshot.SetRecord, error) {
	chosen, err := c.choose(ctx, store, args)
	if err != nil {
		return nil, err
	}
	sets, err := store.Sets(ctx, chosen.filter)
	if err != nil {
		return nil, err
	}
	sets = slices.DeleteFunc(sets, func(s snapshot.SetRecord) bool { return !chosen.takes(schema.ParseGroupResource(s.Resource)) })
	if chosen.filter.Name != "" && len(sets) == 0 {
		return nil, usagef("there is no set of %s; 'holdfast recovery list --sets' shows those there are", chosen)
	}
	return sets, nil
}
