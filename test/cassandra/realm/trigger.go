// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"context"

	"github.com/gocql/gocql"
	"google.golang.org/protobuf/encoding/protowire"
)

// Trigger is a trigger with one simple trigger in it.
type Trigger struct {
	Name string
	// Object is what it is attached to, by id and Astarte's number of its type:
	// 2 an interface, 6 a group and an interface, 7 a device and an interface.
	Object     gocql.UUID
	ObjectType int
	// Interface is what the trigger's data names; OnDevice makes it a trigger on
	// a device's events instead of its data.
	Interface string
	Major     int
	OnDevice  bool
}

// AddTrigger installs a trigger with everything that Astarte writes for one.
func (r *Realm) AddTrigger(ctx context.Context, t Trigger) error {
	parent, simple := digest("trigger "+t.Name), digest("simple trigger "+t.Name)
	if err := r.Exec(ctx, "INSERT INTO "+r.Keyspace+`.simple_triggers (object_id, object_type, parent_trigger_id, simple_trigger_id, trigger_data,
 trigger_target) VALUES (?, ?, ?, ?, ?, ?)`, t.Object, t.ObjectType, parent, simple, t.data(), target(parent, simple)); err != nil {
		return err
	}
	var whole, reference []byte
	whole = number(whole, 1, 1)
	whole = text(whole, 2, string(parent[:]))
	whole = text(whole, 3, string(simple[:]))
	whole = text(whole, 4, `{"http_url":"https://example.com/hook","http_method":"post"}`)
	reference = number(reference, 1, t.ObjectType)
	reference = text(reference, 2, string(t.Object[:]))
	for _, row := range []struct {
		group, key string
		value      []byte
	}{
		{"triggers", parent.String(), whole},
		{"triggers-by-name", t.Name, parent[:]},
		{"simple-triggers-by-uuid", simple.String(), reference},
	} {
		if err := r.Exec(ctx, "INSERT INTO "+r.Keyspace+`.kv_store ("group", key, value) VALUES (?, ?, ?)`, row.group, row.key, row.value); err != nil {
			return err
		}
	}
	return nil
}

// data is the trigger's SimpleTriggerContainer.
func (t Trigger) data() []byte {
	var inner, container []byte
	inner = number(inner, 1, 1)
	container = number(container, 1, 1)
	if t.OnDevice {
		inner = number(inner, 2, 6) // interface added
		inner = text(inner, 5, t.Interface)
		inner = number(inner, 6, t.Major)
		return text(container, 2, string(inner))
	}
	inner = number(inner, 2, 1) // incoming data
	inner = text(inner, 3, t.Interface)
	inner = number(inner, 4, t.Major)
	inner = text(inner, 5, "/*")
	return text(container, 3, string(inner))
}

// target is the TriggerTargetContainer of a trigger that goes to the trigger engine.
func target(parent, simple gocql.UUID) []byte {
	var inner, container []byte
	inner = number(inner, 1, 1)
	inner = text(inner, 2, "trigger_engine")
	inner = text(inner, 3, string(simple[:]))
	inner = text(inner, 4, string(parent[:]))
	container = number(container, 1, 1)
	return text(container, 2, string(inner))
}

func number(b []byte, field protowire.Number, value int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(value)) //nolint:gosec // never negative
}

func text(b []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), value)
}
