// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package cql

import (
	"github.com/gocql/gocql"
)

// UUID is a uuid or timeuuid of the server, whatever its version bits say.
type UUID = gocql.UUID

// Cell is the value of one column as the bytes that the server sent, so that
// any type, and null, is kept as it is.
type Cell struct {
	Null  bool
	Bytes []byte
}

// UnmarshalCQL keeps the bytes as they are.
func (c *Cell) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	c.Null = data == nil
	c.Bytes = append([]byte(nil), data...)
	return nil
}

// MarshalCQL gives the bytes back. Null is nil; an empty value is not.
func (c Cell) MarshalCQL(gocql.TypeInfo) ([]byte, error) {
	if c.Null {
		return nil, nil
	}
	if c.Bytes == nil {
		return []byte{}, nil
	}
	return c.Bytes, nil
}

// ParseUUID reads the text form of a UUID.
func ParseUUID(text string) (UUID, error) { return gocql.ParseUUID(text) }
