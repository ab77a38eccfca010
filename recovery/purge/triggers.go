// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

// Trigger is a trigger that watches an interface.
type Trigger struct {
	ID         string `json:"id"`
	Name       string `json:"name,omitempty"`
	ObjectType int    `json:"objectType"`
	Note       string `json:"note,omitempty"`
}

func (t Trigger) String() string {
	name := t.ID
	if t.Name != "" {
		name = fmt.Sprintf("%q", t.Name)
	}
	if t.Note != "" {
		name += " (" + t.Note + ")"
	}
	return name
}

// simpleTrigger is a row of simple_triggers.
type simpleTrigger struct {
	object     cql.UUID
	objectType int
	parent     cql.UUID
	data       []byte
}

// eachTrigger reads all simple triggers of a realm. They are few.
func eachTrigger(ctx context.Context, db Reader, keyspace string, do func(simpleTrigger)) error {
	t := cql.Table{Keyspace: keyspace, Name: tableTriggers}
	columns := []string{"object_id", "object_type", "parent_trigger_id", "trigger_data"}
	rows := db.Rows(ctx, cql.Statement{Text: cql.Select(t, columns, nil), Consistency: cql.Quorum, PageSize: pageSmall})
	for {
		var r simpleTrigger
		if !rows.Scan(&r.object, &r.objectType, &r.parent, &r.data) {
			break
		}
		do(r)
	}
	if err := rows.Close(); err != nil {
		return fmt.Errorf("read triggers: %w", err)
	}
	return nil
}

// watches says whether a simple trigger watches the interface. Astarte finds
// those of one interface by its id; those of an interface of a device or a
// group have a hashed id, so only their data tells.
func (r simpleTrigger) watches(id cql.UUID, name string, major int) (hit bool, note string) {
	if r.objectType == triggerInterface && r.object == id {
		return true, ""
	}
	scope, err := decodeTrigger(r.data)
	if err != nil {
		// For those kinds alone the data is the only sign; better one too many.
		if r.objectType == triggerGroupInterface || r.objectType == triggerDeviceInterface {
			return true, "its data cannot be read, so it may watch this interface"
		}
		return false, ""
	}
	return scope.Name != "" && scope.matches(name, major), ""
}

// findTriggers are the triggers that watch the target.
func findTriggers(ctx context.Context, db Reader, t *Target) ([]Trigger, error) {
	found := map[cql.UUID]Trigger{}
	err := eachTrigger(ctx, db, t.Keyspace, func(r simpleTrigger) {
		if hit, note := r.watches(t.ID, t.Name, t.Major); hit {
			found[r.parent] = Trigger{ID: r.parent.String(), ObjectType: r.objectType, Note: note}
		}
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	names, err := triggerNames(ctx, db, t.Keyspace)
	if err != nil {
		return nil, err
	}
	var triggers []Trigger
	for id, trigger := range found {
		trigger.Name = names[id]
		triggers = append(triggers, trigger)
	}
	slices.SortFunc(triggers, func(a, b Trigger) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return triggers, nil
}

// triggerNames are the names of all triggers of a realm by their id, from the
// group of kv_store in which Astarte keeps them.
func triggerNames(ctx context.Context, db Reader, keyspace string) (map[cql.UUID]string, error) {
	t := cql.Table{Keyspace: keyspace, Name: tableKV}
	rows := db.Rows(ctx, cql.Statement{
		Text:   cql.Select(t, []string{columnKey, "value"}, []string{columnGroup}),
		Values: []any{"triggers-by-name"}, Consistency: cql.Quorum, PageSize: pageSmall,
	})
	names := map[cql.UUID]string{}
	var name string
	var value []byte
	for rows.Scan(&name, &value) {
		if len(value) == 16 {
			names[cql.UUID(value)] = name
		}
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("read names of triggers: %w", err)
	}
	return names, nil
}
