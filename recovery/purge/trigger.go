// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// triggerScope is what a simple trigger says of the interface it watches.
type triggerScope struct {
	Name     string
	Major    int
	hasMajor bool
}

// matches says whether the trigger watches that very interface. One without a
// major watches all of them.
func (s triggerScope) matches(name string, major int) bool {
	return s.Name == name && (!s.hasMajor || s.Major == major)
}

// The field numbers of Astarte's simple_trigger_container.proto,
// device_trigger.proto and data_trigger.proto.
const (
	containerDevice = 2
	containerData   = 3
	dataName        = 3
	dataMajor       = 4
	deviceName      = 5
	deviceMajor     = 6
)

// decodeTrigger reads the interface that a simple trigger watches out of its
// trigger_data; an empty name when it watches none.
func decodeTrigger(data []byte) (triggerScope, error) {
	var scope triggerScope
	err := eachField(data, func(number protowire.Number, value field) error {
		names, majors := protowire.Number(deviceName), protowire.Number(deviceMajor)
		if number == containerData {
			names, majors = dataName, dataMajor
		} else if number != containerDevice {
			return nil
		}
		if value.bytes == nil {
			return fmt.Errorf("field %d is not a message", number)
		}
		return eachField(value.bytes, func(number protowire.Number, value field) error {
			if number == names {
				scope.Name = string(value.bytes)
			}
			if number == majors {
				// int32 on the wire is a varint of 64 bits.
				scope.Major, scope.hasMajor = int(int32(value.varint)), true //nolint:gosec // G115: int32 is what the field is
			}
			return nil
		})
	})
	if err != nil {
		return triggerScope{}, fmt.Errorf("decode trigger: %w", err)
	}
	return scope, nil
}

// field is the value of one field on the wire: bytes, or a number.
type field struct {
	bytes  []byte
	varint uint64
}

// eachField calls do for every field of an encoded message, in its order.
func eachField(data []byte, do func(protowire.Number, field) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		var value field
		switch kind {
		case protowire.BytesType:
			value.bytes, n = protowire.ConsumeBytes(data)
			if value.bytes == nil {
				value.bytes = []byte{}
			}
		case protowire.VarintType:
			value.varint, n = protowire.ConsumeVarint(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := do(number, value); err != nil {
			return err
		}
	}
	return nil
}
