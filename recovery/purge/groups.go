// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// deleteGroups deletes the groups of kv_store that list the devices of a draft.
func (r *run) deleteGroups(ctx context.Context) error {
	if r.state.groups {
		return nil
	}
	if err := checkReinstalled(ctx, r.db, r.state, cql.Quorum); err != nil {
		return err
	}
	level, _ := r.rowLevels()
	r.say(phaseGroups, "deleting the lists of devices in kv_store")
	for _, st := range groupStatements(&r.target, r.state.lastCut(), level) {
		if err := r.db.Exec(ctx, st); err != nil {
			return fmt.Errorf("delete group of kv_store: %w", err)
		}
	}
	return r.append(recordGroups, empty{})
}

func groupStatements(t *Target, stamp any, level cql.Consistency) []cql.Statement {
	var all []cql.Statement
	for _, group := range []string{DevicesGroup(t.Name, t.Major), DataGroup(t.Name, t.Major)} {
		all = append(all, cql.Statement{Text: cql.Delete(t.table(tableKV), []string{columnGroup}), Values: []any{stamp, group}, Consistency: level})
	}
	return all
}
